"""Files that are really there: flushed to the disk, described by size and SHA-256, read with plain errors."""

import contextlib
import hashlib
import json
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from minigpt.errors import CheckpointError, DataError, MinigptError
from minigpt.kinds import Array, StrPath
from minigpt.system import BYTES, locked, sync


class Forbidden(CheckpointError):
    """A file that this user may not read: it may be as sound as any."""


def forbidden(path: StrPath, reason: OSError) -> Forbidden:
    """The error for such a file."""
    what_to_do = "give this user the right to read it, with chmod or chown"
    return Forbidden(f"{path}: cannot be read: {reason.strerror}; {what_to_do}")


def as_path(path: StrPath, what: str = "path") -> Path:
    """path as a Path, or a CheckpointError if it names no place. what: whose path it is, for the message.

    An empty one is refused: it would stand for the folder that one happens to be in.
    """
    if isinstance(path, str) and not path:
        raise CheckpointError(f"{what}: expected a path, found none; is a variable of the shell empty?")
    try:
        return Path(path)
    except TypeError:
        raise CheckpointError(f"{what} must be a str or a Path: found {path!r}") from None


def no_file(path: StrPath) -> str:
    """What a path names instead of a file, "" if it is one: a pipe may keep one waiting. Raises OSError."""
    mode = os.stat(path).st_mode
    return "" if stat.S_ISREG(mode) else "a folder" if stat.S_ISDIR(mode) else "a pipe, socket or device"


def describe(path: Path) -> dict[str, Any]:
    """Size and SHA-256 of a file."""
    with open(path, "rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def write_file(path: StrPath, chunks: Iterable[bytes | Array]) -> dict[str, Any]:
    """Write a file and return once the disk has its bytes; its size and SHA-256, as `describe` would say.

    The hash is that of what was to be written, not of what was: a file that reads back otherwise is damaged.
    chunks: bytes, one after the other.
    """
    digest, size = hashlib.sha256(), 0
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | BYTES, 0o666)
    try:
        for chunk in chunks:
            digest.update(chunk)
            write_all(file, chunk)
            size += len(chunk)
        sync(file)
    finally:
        os.close(file)
    return {"bytes": size, "sha256": digest.hexdigest()}


def write_all(file: int, content: bytes | Array) -> None:
    """os.write of bytes or an array, again and again until all is written: one call may take less."""
    rest = memoryview(content).cast("B") if len(content) else b""
    while rest:
        rest = rest[os.write(file, rest) :]


def remove_folder(folder: Path) -> None:
    """Delete a folder and all in it, as far as the system allows."""
    for path in sorted(folder.rglob("*"), reverse=True):  # what a folder holds comes before it
        with contextlib.suppress(OSError):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    with contextlib.suppress(OSError):
        folder.rmdir()


def lock_folder(folder: StrPath, work: str, error: type[MinigptError]) -> int:
    """Keep other processes out of a folder until the returned descriptor is closed, or this process ends.

    error: raised if one is in.
    """
    try:
        return locked(folder)
    except BlockingIOError:
        raise error(f"{folder}: another {work} is writing here; wait for it, or end it") from None


def replace_file(path: Path, content: bytes) -> None:
    """Put a file in place of what is there, in one step and only once the disk has it.

    Only a file is replaced: renamed over a device, such as /dev/full, the file would be there in its stead.
    """
    if path.exists() and not path.is_file():
        kind = "a folder" if path.is_dir() else "a device, pipe or socket"
        raise DataError(f"{path}: expected the name of a file, found {kind}; give another name")
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        write_file(temporary, [content])
        os.replace(temporary, path)
    except OSError as reason:
        temporary.unlink(missing_ok=True)
        raise DataError(f"{path}: not writable: {reason.strerror}") from None


def write_json(path: Path, value: Any) -> None:
    """A JSON object as an indented file."""
    path.write_bytes(as_json(value))


def as_json(value: Any) -> bytes:
    """The bytes of such a file."""
    return (json.dumps(value, indent=2) + "\n").encode()


def read_json(path: Path, limit: int | None = None) -> dict[str, Any]:
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
    except PermissionError as reason:
        raise forbidden(path, reason) from None
    except OSError as reason:
        raise CheckpointError(f"{path}: cannot be read: {reason.strerror}") from None
    except (ValueError, RecursionError) as reason:
        if isinstance(reason, CheckpointError):
            raise
        raise CheckpointError(f"{path}: not readable as JSON: {reason}") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: expected a JSON object, found {type(value).__name__}")
    return value
