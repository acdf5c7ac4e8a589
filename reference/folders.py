"""Folders that are there whole or not at all."""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from safetensors import SafetensorError

from reference.bad_input import BadInput

try:
    import fcntl
except ImportError:  # Windows: nobody is kept out of a folder, and what killed processes leave stays
    fcntl = None

PREFIX, FILES = ".unfinished-", "files"


@contextlib.contextmanager
def whole(folder, needed, ours=lambda folder: False):
    """A folder to write files into; they move to `folder` when all of them are on the disk, or go.

    Until then what was in `folder` stays as it was; after it, files of the same names are replaced, others
    stay. What killed processes left beside it is removed. needed: bytes, for the message; ours: as in
    refuse_mixing. Raises BadInput.
    """
    folder = Path(folder)
    try:
        there = folder.is_dir()
        beside = folder if there else folder.parent  # one file system with what it becomes
        beside.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            if there and not stack.enter_context(locked(folder)):
                raise BadInput(f"{folder}: another process is writing there: wait, or name another folder")
            refuse_mixing(folder, ours)  # once more: another process may have been here
            remove_leftovers(beside)
            temporary = stack.enter_context(tempfile.TemporaryDirectory(prefix=PREFIX, dir=beside))
            stack.enter_context(locked(temporary))
            unfinished = Path(temporary) / FILES
            unfinished.mkdir()
            yield unfinished
            for path in unfinished.iterdir():
                flush(path)
            put(unfinished, folder, there)
    except (OSError, SafetensorError) as reason:
        free = free_bytes(folder)
        room = f"{needed:,} bytes are needed" + (f", {free:,} are free there" if free is not None else "")
        raise BadInput(f"{folder}: cannot be written: {without_path(reason)}; {room}") from None


def refuse_mixing(folder, ours=lambda folder: False):
    """A BadInput for what is no folder, and for one that holds other people's files.

    ours: whether a folder was made by this command, which may then replace its files.
    """
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder}: expected a folder, found something else: name a new one")
    names = sorted(path.name for path in folder.iterdir() if not is_leftover(path)) if folder.is_dir() else []
    if names and not ours(folder):
        raise BadInput(f"{folder}: expected an empty folder, found {names[0]!r} in it: name a new one")


@contextlib.contextmanager
def locked(folder):
    """Whether this process now has a folder to itself, among those that ask; a killed one holds nothing."""
    if fcntl is None:
        yield True
        return
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield taken(file)
    finally:
        os.close(file)


def taken(file):
    """Whether the lock of an open file could be had."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def remove_leftovers(folder):
    """Remove what processes that were killed left in a folder."""
    for path in folder.glob(f"{PREFIX}*"):
        if is_leftover(path):
            shutil.rmtree(path)


def is_leftover(path):
    """Whether a path is an unfinished folder of ours, and nobody is at work in it."""
    if fcntl is None or not path.name.startswith(PREFIX) or path.is_symlink() or not path.is_dir():
        return False
    with contextlib.suppress(OSError), locked(path) as dead:
        return dead and {inner.name for inner in path.iterdir()} <= {FILES}
    return False


def put(unfinished, folder, there):
    """The one step in which a new folder appears; or a step a file in one that is there."""
    if not there:
        unfinished.rename(folder)
        return
    moves = [(path, folder / path.name) for path in sorted(unfinished.iterdir())]
    for _, target in moves:
        if target.exists() and not target.is_file():  # renamed over a device, a file would stand in its stead
            raise BadInput(f"{target}: is no file, so no file is written over it: name another folder")
    for path, target in moves:
        os.replace(path, target)


def flush(path):
    """Return once the disk has a file's bytes."""
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def free_bytes(folder):
    """What is free where a folder is, or will be; None where nobody knows."""
    place = next((path for path in (folder, *folder.absolute().parents) if path.is_dir()), None)
    return shutil.disk_usage(place).free if place else None


def without_path(reason):
    """An error's own words: the path is said already."""
    return getattr(reason, "strerror", None) or reason
