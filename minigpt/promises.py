"""What a checkpoint's state.json promises: itself by a seal, the files beside it by size and SHA-256."""

import contextlib

from minigpt.disk import describe, read_json
from minigpt.errors import CheckpointError
from minigpt.seal import SEAL, seal_of, sealed

STATE = "state.json"
VERSION = 2
# what state.json must hold
RECORD = {"version": int, "step": int, "updates": int, "guard": dict, "settings": dict, "files": dict}
KINDS = {int: "a count", dict: "an object"}
FILES = {"model.safetensors", "config.json", "optimizer.safetensors", "tokenizer.json"}  # what it vouches for


class AnotherVersion(CheckpointError):
    """A checkpoint that is sound, but not of a kind that this version of minigpt knows."""


def checked_record(path, names=None):
    """What state.json says, after checking the files of these names, or all, against its promises.

    What else lies in the folder, of a file manager or a person, is nobody's damage.

    Raises CheckpointError with the file, what was expected and what was found.
    """
    record = read_record(path / STATE)
    for name in names or record["files"]:
        expected = record["files"][name]
        if (found := described(path / name)) != expected:
            raise CheckpointError(f"{path / name} is damaged: expected {expected}, found {found}")
    return record


def vouches(folder):
    """Whether a folder holds a sound state.json, which promises something of the files beside it."""
    with contextlib.suppress(CheckpointError):
        return (folder / STATE).is_file() and bool(read_record(folder / STATE))
    return False


def described(file):
    """Size and SHA-256 of a file, or why there is none."""
    if not file.is_file():
        return "no such file"
    try:
        return describe(file)
    except OSError as reason:
        return f"one that cannot be read: {reason.strerror}"


def read_record(file):
    """A state.json whose seal holds, byte for byte."""
    record = read_json(file)
    content, seal = file.read_bytes(), record.pop(SEAL, None)
    if seal is None:
        found = "none: it is damaged, or was made before checkpoints had one (model.safetensors alone opens)"
        raise CheckpointError(f"{file} is damaged: expected a SHA-256 of itself, found {found}")
    if content != sealed(record):
        raise CheckpointError(f"{file} is damaged: expected SHA-256 {seal_of(record)}, found {seal!r:.80}")
    if type(record.get("version")) is int and record["version"] != VERSION:
        raise AnotherVersion(
            f"{file}: expected a checkpoint of version {VERSION}, found {record['version']}: "
            "take the minigpt that made it"
        )
    for key, kind in RECORD.items():
        if type(record.get(key)) is not kind or (kind is int and record[key] < 0):
            raise CheckpointError(f"{file}: {key} must be {KINDS[kind]}: found {record.get(key)!r}")
    if unvouched := FILES - record["files"].keys():
        raise CheckpointError(f"{file}: no size and SHA-256 of {', '.join(sorted(unvouched))}")
    return record
