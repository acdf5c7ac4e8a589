"""Linux's control groups (cgroups): what a container, or a job on a cluster, may take of its machine.

A limit of a group holds for the groups in it too, so that the smallest on the way up counts. Version 2 has
one tree of groups; version 1 a tree for each controller ("cpu", "memory"); a machine may have both.
"""

import contextlib
from collections.abc import Callable
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
MINE = Path("/proc/self/cgroup")  # a line a tree: number:controllers:path; version 2 names no controllers


def least(controller: str, read: Callable[[Path], float]) -> float | None:
    """The smallest read(group) of this process's groups and those around them; None if none has a limit.

    read takes the folder of a group, and raises OSError or ValueError where it has no limit.
    """
    found = []
    for group in groups(controller):
        with contextlib.suppress(OSError, ValueError):
            found.append(read(group))
    return min(found, default=None)


def groups(controller: str) -> list[Path]:
    """The folders of the groups in which this process is, by both versions; some may not be there.

    In a container the path is often the host's, and only the root of the tree is seen.
    """
    try:
        lines = [line.split(":", 2) for line in MINE.read_text(encoding="utf-8").splitlines()]
    except OSError:
        lines = []
    folders = [ROOT]
    for _, controllers, path in lines:
        if not controllers:
            trees = [ROOT, ROOT / "unified"]
        elif controller in controllers.split(","):
            trees = [ROOT / controller, ROOT / controllers]
        else:
            continue
        inside = [] if ".." in path else Path(path).relative_to("/").parts
        folders += [tree.joinpath(*inside[:depth]) for tree in trees for depth in range(len(inside) + 1)]
    return folders
