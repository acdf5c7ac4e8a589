"""Places to write to: a new file, or one of the kind that is written there.

What somebody else made is never written over, nor is what the same command reads.
"""

import contextlib
import os
from pathlib import Path

from minigpt.errors import ConfigError
from minigpt.flags import flag_of

HEAD = 4096  # bytes of a file in which the mark of who made it stands


def place_for(name, value, endings, mark):
    """The Path to write a file to. mark: bytes that stand near the beginning of our own. Raises ConfigError.

    name: the field, for the message. endings: those that a file may have, such as .png.
    """
    path, flag = Path(value), flag_of(name)
    if path.suffix.lower() not in endings:
        raise ConfigError(f"{flag}: expected a name that ends in {' or '.join(endings)}: found {value!r}")
    try:
        if not path.parent.is_dir():
            raise ConfigError(f"{flag}: expected a folder that is there: found no {path.parent}; make it")
        path.lstat()
    except FileNotFoundError:
        return path
    except (OSError, ValueError) as reason:  # a ConfigError is a ValueError, too
        if isinstance(reason, ConfigError):
            raise
        raise ConfigError(f"{flag}: {path}: {getattr(reason, 'strerror', None) or reason}") from None
    if not path.exists():
        raise ConfigError(f"{flag}: {path}: leads to nothing; give another name")
    refuse_others(path, bears(mark), ConfigError, f"{flag}: ")
    return path


def bears(mark):
    """A function that says whether a file has these bytes near its beginning."""

    def is_ours(path):
        with open(path, "rb") as file:
            return mark in file.read(HEAD)

    return is_ours


def begins_with(mark):
    """A function that says whether a file begins with these bytes."""

    def is_ours(path):
        with open(path, "rb") as file:
            return file.read(len(mark)) == mark

    return is_ours


def refuse_others(path, is_ours, error, where=""):
    """Raise error for what is at path and would be lost: all but a file of the kind that is to be written.

    is_ours(path): whether a file is of that kind. where: what the message begins with, such as "--out: ".
    A path at which nothing can be is left to whoever writes there: he says why.
    """
    try:
        if not os.path.exists(path):
            return
        if not os.path.isfile(path):
            found = "a folder" if os.path.isdir(path) else "a device, pipe or socket"
            raise error(f"{where}{path}: expected the name of a file, found {found}; give another name")
        if is_ours(path):
            return
    except OSError as reason:
        raise error(f"{where}{path} is there, and cannot be read: {reason.strerror}") from None
    raise error(f"{where}{path} is there, and was made by something else: give another name")


def refuse_inputs(path, inputs, error, where=""):
    """Raise error if path is one of the files that are read, by whatever name or link. None: no input."""
    for source in inputs:
        if source is not None and is_same(path, source):
            raise error(f"{where}{path} is what is read, {source}: give another name")


def is_same(path, other):
    """Whether two paths lead to one file; those that lead nowhere do not."""
    with contextlib.suppress(OSError, ValueError):
        return os.path.samefile(path, other)
    return False
