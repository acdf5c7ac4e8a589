"""What --data and --val-data name: files of text, or token shards to train on and shards to validate on."""

import glob
import re
from pathlib import Path

from minigpt.errors import DataError
from minigpt.vocabularies import IN_A_FOLDER

SHARDS = (".bin", ".npy")
UNPREPARED = (".jsonl", ".ndjson", ".parquet")
COMPANIONS = ("manifest.json", "tokenizer_config.json", *IN_A_FOLDER)  # what lies beside shards
# fineweb_val_000000.bin, tiny_shakespeare_train.bin, val.bin: a name, which part, a number
NAME = re.compile(r"(?:(?P<name>.*)[_.-])?(?P<part>train|val)(?:[_.-].*)?")
NUMBER = re.compile(r"[_.-]?\d+$")


def files_of(pattern, option="data"):
    """The files that a path or a glob names, sorted; of a folder, the shards in it. Raises DataError."""
    try:
        return found_files(pattern, option)
    except OSError as reason:
        raise DataError(
            f"{option}: {pattern}: cannot be looked at: {reason.strerror}; give another path, or this user "
            "the right to read it"
        ) from None


def found_files(pattern, option):
    """The same, as far as the system lets one look."""
    if Path(pattern).is_dir():
        paths = [path for path in Path(pattern).iterdir() if path.suffix in SHARDS]
        if not paths:
            raise DataError(
                f"{option}: {pattern} is a folder without shards ({' or '.join(SHARDS)}); "
                f"for text, give a quoted glob, such as '{pattern}/*.txt'"
            )
        return sorted(paths)
    names = [pattern] if Path(pattern).is_file() else glob.glob(pattern, recursive=True)
    paths = [path for path in sorted(map(Path, names)) if path.is_file() and path.name not in COMPANIONS]
    if not paths and Path(pattern).exists():
        raise DataError(f"{option}: {pattern} is a pipe, socket or device; write it to a file first")
    if not paths:
        raise DataError(f"{option}: no file matches {pattern!r}; give a path or a quoted glob of files")
    for path in paths:
        if path.suffix in UNPREPARED:
            raise DataError(
                f"{option}: {path}: expected text or token shards, found {path.suffix}; make shards first, "
                f"`minigpt data '{pattern}' --out DIR`, then give --{option} DIR"
            )
    return paths


def are_shards(paths):
    """Whether files are token shards, by their names."""
    kinds = {path.suffix in SHARDS: path for path in paths}
    if len(kinds) == 2:
        raise DataError(
            f"data: expected text or token shards, found both, {kinds[False]} and {kinds[True]}; name one"
        )
    return True in kinds


def train_and_val(paths, val_data=None):
    """(shards to train on, shards to validate on): by --val-data, or by names with val in them.

    Validation shards that are not among paths are looked for beside them, under the same name.
    """
    if val_data:
        val = files_of(val_data, "val-data")
        aside = {path.resolve() for path in val}
    else:
        val = [path for path in paths if is_validation(path)] or validation_beside(paths)
        aside = set()
    train = [path for path in paths if not is_validation(path) and path.resolve() not in aside]
    if not train:
        raise DataError(f"data: {paths[0]} is for validation, and no other shard was named to train on")
    if not val:
        raise DataError(
            f"data: no shard to validate on among the files and beside {train[0]}, such as "
            f"{name_of(train[0])}_val_000000.bin; name some by --val-data GLOB"
        )
    return train, val


def validation_beside(paths):
    """The validation shards in the folders of these files, that belong to them by name."""
    beside = {path for folder in {path.parent for path in paths} for path in folder.iterdir()}
    names = {(path.parent, name_of(path)) for path in paths}
    return sorted(
        path
        for path in beside
        if path.suffix in SHARDS and is_validation(path) and (path.parent, name_of(path)) in names
    )


def is_validation(path):
    """Whether a shard is one to validate on: the last train or val in its name is val."""
    named = NAME.fullmatch(path.stem)
    return bool(named) and named["part"] == "val"


def name_of(path):
    """What a shard's name begins with: fineweb of fineweb_train_000001.bin, nothing of val.bin."""
    named = NAME.fullmatch(path.stem)
    return named["name"] or "" if named else NUMBER.sub("", path.stem)


def tokenizer_beside(paths):
    """The folder of the first file if it holds a tokenizer, else None."""
    folder = paths[0].parent
    return str(folder) if any((folder / name).is_file() for name in IN_A_FOLDER) else None
