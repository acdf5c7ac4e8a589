"""Files that are really there: flushed to the disk, described by size and SHA-256, read with plain errors."""

import hashlib
import json
import os
from pathlib import Path

from minigpt.errors import CheckpointError, DataError


def as_path(path, what="path"):
    """path as a Path, or a CheckpointError if it names no place. what: whose path it is, for the message.

    An empty one is refused: it would stand for the folder that one happens to be in.
    """
    if isinstance(path, str) and not path:
        raise CheckpointError(f"{what}: expected a path, found none; is a variable of the shell empty?")
    try:
        return Path(path)
    except TypeError:
        raise CheckpointError(f"{what} must be a str or a Path: found {path!r}") from None


def describe(path):
    """Size and SHA-256 of a file."""
    with open(path, "rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def flush(path):
    """Return once the disk has a file's bytes, or a folder's names."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def lock_folder(folder, work, error):
    """Keep other processes out of a folder until the returned descriptor is closed, or this process ends.

    error: raised if one is in. File systems without locks go without.
    """
    import fcntl  # not on every system; the rest of this file is

    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise error(f"{folder}: another {work} is writing here; wait for it, or end it") from None
    except OSError:
        pass
    return lock


def replace_file(path, content):
    """Put a file in place of what is there, in one step and only once the disk has it.

    Only a file is replaced: renamed over a device, such as /dev/full, the file would be there in its stead.
    """
    if path.exists() and not path.is_file():
        kind = "a folder" if path.is_dir() else "a device, pipe or socket"
        raise DataError(f"{path}: expected the name of a file, found {kind}; give another name")
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as reason:
        temporary.unlink(missing_ok=True)
        raise DataError(f"{path}: not writable: {reason.strerror}") from None


def write_json(path, value):
    """A JSON object as an indented file."""
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def read_json(path, limit=None):
    """The JSON object in a file of at most limit bytes, or a CheckpointError that says why there is none."""
    try:
        size = path.stat().st_size
        if limit is not None and size > limit:
            raise CheckpointError(
                f"{path}: expected at most {limit:,} bytes, found {size:,}; is it another file?"
            )
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file") from None
    except (OSError, ValueError, RecursionError) as reason:
        if isinstance(reason, CheckpointError):
            raise
        raise CheckpointError(f"{path}: not readable as JSON: {reason}") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: expected a JSON object, found {type(value).__name__}")
    return value
