"""Logs of lines: whole ones are read, a torn last one is left out, a damaged one between them is named."""

import os

from minigpt.disk import no_file
from minigpt.errors import DataError


def records(path, parse, expected):
    """(records, remark) of a log: what parse makes of each line, and what was left out, "" for nothing.

    A run that is going on, or was cut off, may have written half of its last line. parse raises ValueError.
    Raises DataError for a file that cannot be read, and for another line that is not as expected.
    """
    lines, torn = lines_of(path)
    found, remark = [], f"{path}: its last line is not whole, and is left out" if torn else ""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            found.append(parse(line.decode()))
        except (ValueError, RecursionError):
            if number == len(lines) and not torn:
                return found, f"{path}: its last line is damaged, and is left out"
            raise DataError(
                f"{path}: line {number}: expected {expected}, found {line[:60].decode(errors='replace')!r}; "
                f"it is damaged, or no log of a run: take the line out to go on without it"
            ) from None
    return found, remark


def lines_of(path):
    """(lines, torn): the lines of a file that are ended, and whether something stands behind the last."""
    try:
        if found := no_file(path):
            raise DataError(f"{path}: expected a log, found {found}")
        with open(path, "rb") as file:
            *lines, rest = file.read().split(b"\n")
    except OSError as reason:
        raise DataError(f"{path}: cannot be read: {reason.strerror}") from None
    return lines, bool(rest.strip(b"\0 \t\r"))


def exists(path):
    """Whether there is something of this name; a name that no file can have is none."""
    try:
        return os.path.exists(path)
    except ValueError:
        return False
