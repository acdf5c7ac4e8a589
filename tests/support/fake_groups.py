"""A tree of control groups as files, in which this process seems to be."""

from minigpt import cgroups


def make_groups(folder, monkeypatch, mine, files):
    """mine: what /proc/self/cgroup says, None if it is not there. files: paths below the root -> texts."""
    monkeypatch.setattr(cgroups, "ROOT", folder / "cgroup")
    monkeypatch.setattr(cgroups, "MINE", folder / "mine")
    if mine is not None:
        (folder / "mine").write_text(mine)
    for name, text in files.items():
        path = folder / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
