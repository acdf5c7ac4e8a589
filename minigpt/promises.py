"""What a checkpoint's state.json promises: itself by a seal, the files beside it by size and SHA-256."""

import contextlib

from minigpt.damage import COPY, check_file, is_description
from minigpt.disk import read_json
from minigpt.errors import CheckpointError
from minigpt.seal import SEAL, difference, sealed

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
        check_file(path / name, record["files"][name])
    return record


def vouches(folder):
    """Whether a folder holds a sound state.json, which promises something of the files beside it."""
    with contextlib.suppress(CheckpointError):
        return (folder / STATE).is_file() and bool(read_record(folder / STATE))
    return False


def read_record(file):
    """A state.json whose seal holds, byte for byte."""
    record = read_json(file)
    content, seal = file.read_bytes(), record.pop(SEAL, None)
    if seal is None:
        found = "none: it is damaged, or was made before checkpoints had one (model.safetensors alone opens)"
        raise CheckpointError(f"{file} is damaged: expected a SHA-256 of itself, found {found}")
    if content != sealed(record):
        raise CheckpointError(f"{file} is damaged: {difference(record, seal)}; {COPY}")
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
    for name, promised in record["files"].items():
        if not is_description(promised):
            expected = f"files: {name} must have bytes and sha256"
            raise CheckpointError(f"{file}: {expected}: found {promised!r:.80}")
    return record
