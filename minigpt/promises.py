"""What a checkpoint's state.json promises of the files beside it: their sizes and SHA-256."""

from minigpt.disk import describe, read_json
from minigpt.errors import CheckpointError

RECORD = {"step": int, "updates": int, "settings": dict, "files": dict}  # what state.json must hold
KINDS = {int: "a count", dict: "an object"}
FILES = {"model.safetensors", "config.json", "optimizer.safetensors", "tokenizer.json"}  # what it vouches for


def checked_record(path, names=None):
    """What state.json says, after checking the files of these names, or every file that it vouches for.

    Raises CheckpointError.
    """
    record = read_json(path / "state.json")
    for key, kind in RECORD.items():
        if type(record.get(key)) is not kind or (kind is int and record[key] < 0):
            raise CheckpointError(
                f"{path / 'state.json'}: {key} must be {KINDS[kind]}: found {record.get(key)!r}"
            )
    if unvouched := FILES - record["files"].keys():
        raise CheckpointError(f"{path / 'state.json'}: no size and SHA-256 of {', '.join(sorted(unvouched))}")
    for name in names or record["files"]:
        expected = record["files"][name]
        found = describe(path / name) if (path / name).is_file() else "no such file"
        if found != expected:
            raise CheckpointError(f"{path / name} is damaged: expected {expected}, found {found}")
    return record
