"""JSON files that hold a SHA-256 of their own content: what a disk, a copy or a hand damaged is noticed."""

import json

from minigpt.disk import replace_file
from minigpt.errors import DataError
from minigpt.seal import SEAL, seal_of, sealed
from minigpt.system import flush


def write(path, value):
    """An object as a file, whole or not at all, and on the disk with its name."""
    replace_file(path, sealed(value))
    flush(path.parent)


def read(path, kind):
    """The object in a file. DataError if it is damaged, or not of a kind: values that some keys must have."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as reason:
        raise damaged(path, f"not readable: {reason}") from None
    if not isinstance(value, dict):
        raise damaged(path, f"expected a JSON object, found {type(value).__name__}")
    found = {key: value[key] for key in kind if key in value}
    if found and found != kind:
        raise DataError(f"{path}: expected {kind}, found {found}; it was made by another version")
    seal = value.pop(SEAL, None)
    if seal != seal_of(value) or found != kind:
        raise damaged(path, "its content has not the SHA-256 that it should have")
    return value


def damaged(path, found):
    """The DataError for a file that cannot be relied upon, nor what lies beside it."""
    return DataError(
        f"{path}: damaged: {found}; make it anew: with another --out, or without the files in {path.parent}"
    )
