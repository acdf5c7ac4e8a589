"""reference/folders.py: whole or not at all; reference/memory.py: what is left, by every limit."""

import contextlib
import os
import resource
import subprocess
import sys

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
    with folders.whole(tmp_path, 0, ours=lambda folder: True) as unfinished:
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


def test_two_at_once_in_one_folder_and_the_second_is_refused(tmp_path):
    """At once, or after the other has finished though the folder was empty when the work began."""
    with folders.whole(tmp_path, 0) as unfinished:
        (unfinished / "new").write_text("first")
        with pytest.raises(BadInput, match="another process is writing there"), folders.whole(tmp_path, 0):
            pass
    with pytest.raises(BadInput, match="expected an empty folder, found 'new'"), folders.whole(tmp_path, 0):
        pass
    assert [path.read_text() for path in tmp_path.iterdir()] == ["first"]


KILLED = """
import os, signal, sys
from pathlib import Path
from reference.folders import whole
with whole(Path(sys.argv[1]), 0) as unfinished:
    (unfinished / "half").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("there", [False, True])
def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path, there):
    folder = tmp_path / "d"
    if there:
        folder.mkdir()
    (tmp_path / ".unfinished-by-others").mkdir()
    (tmp_path / ".unfinished-by-others" / "notes").write_text("kept")
    subprocess.run([sys.executable, "-c", KILLED, folder], check=False)
    assert len(list(tmp_path.rglob("half"))) == 1
    folders.refuse_mixing(folder)
    with folders.whole(folder, 0) as unfinished:
        (unfinished / "new").write_text("new")
    names = {path.name for path in tmp_path.rglob("*")}
    assert names == {"d", "new", ".unfinished-by-others", "notes"}


def test_what_another_process_is_writing_is_left_alone(tmp_path):
    """One writes a new folder in tmp_path, the other another."""
    with folders.whole(tmp_path / "a", 0) as mine, folders.whole(tmp_path / "b", 0) as theirs:
        assert mine.is_dir()
        assert theirs.is_dir()
        with pytest.raises(BadInput, match=r"expected an empty folder, found '\.unfinished-"):
            folders.refuse_mixing(tmp_path)


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
