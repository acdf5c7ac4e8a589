"""reference/folders.py: whole or not at all; reference/memory.py: what is left, by every limit."""

import contextlib
import os
import resource

import pytest

from reference import folders, memory
from reference.bad_input import BadInput


def test_files_are_on_the_disk_before_they_move_and_a_folder_appears_in_one_step(tmp_path, monkeypatch):
    flushed, fsync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (flushed.append(os.fstat(file).st_ino), fsync(file)))
    with folders.whole(tmp_path / "a" / "b", 0) as unfinished:
        for name in ("one", "two"):
            (unfinished / name).write_text(name)
        assert not (tmp_path / "a" / "b").exists()
        assert unfinished.parent.parent == tmp_path / "a"  # the same file system, or the move would be a copy
    assert {path.name for path in (tmp_path / "a").iterdir()} == {"b"}
    assert {path.stat().st_ino for path in (tmp_path / "a" / "b").iterdir()} == set(flushed)
    assert len(flushed) == 2


def test_a_folder_that_is_there_may_be_a_file_system_of_its_own(tmp_path):
    (tmp_path / "mine").write_text("kept")
    with folders.whole(tmp_path, 0) as unfinished:
        assert unfinished.parent.parent == tmp_path
        (unfinished / "new").write_text("new")
        assert not (tmp_path / "new").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"mine", "new"}


@pytest.mark.parametrize("there", [False, True])
def test_what_fails_leaves_no_trace(tmp_path, there):
    folder = tmp_path / "d"
    if there:
        folder.mkdir()
    with contextlib.suppress(KeyboardInterrupt), folders.whole(folder, 0) as unfinished:
        (unfinished / "half").write_text("half")
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.rglob("*")] == ["d"] * there


def container(folder, most, taken):
    (folder / "memory.max").write_text(f"{most}\n")
    (folder / "memory.stat").write_text(f"anon {taken}\nfile 999\nanon_thp 7\n")
    return folder


def test_memory_is_what_the_narrowest_limit_leaves(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "CONTAINER", tmp_path)
    assert memory.within_container() is None  # no container
    container(tmp_path, "max", 400_000)
    assert memory.within_container() is None  # one without a limit
    container(tmp_path, 1_000_000, 400_000)
    assert memory.within_container() == memory.available() == 600_000
    memory.require(600_000, "this")
    with pytest.raises(BadInput, match=r"this needs about 2\.1 GB of memory, 0\.6 MB are available"):
        memory.require(2_100_000_000, "this")
    container(tmp_path, 1_000, 400_000)
    assert memory.available() == 0


def test_without_a_limit_on_addresses_there_is_none():
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    assert (memory.within_address_space() is None) == (limit == resource.RLIM_INFINITY)


def test_where_no_system_says_anything_everything_is_allowed(monkeypatch):
    for name in ("unused", "within_address_space", "within_container"):
        monkeypatch.setattr(memory, name, lambda: None)
    memory.require(10**30, "this")
