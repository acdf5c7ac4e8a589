"""The parts of many machines to one output, byte for byte that of one machine."""

import hashlib
import json
import re
from pathlib import Path

import numpy as np

from minigpt.disk import describe
from minigpt.errors import ConfigError, DataError
from minigpt.prepare import journal, manifest
from minigpt.prepare.encode import Encoded, fingerprint
from minigpt.prepare.manifest import check_size
from minigpt.prepare.options import Data
from minigpt.prepare.workers import Stopped
from minigpt.shards import HEADER_BYTES
from minigpt.tokenizer import Tokenizer

PART = r"part-([0-9]+)-of-([0-9]+)"
SETTINGS = ("name", "tokenizer", "eot", "field", "shard_tokens")
MAKING = ("inputs", "tokenizer", "format", "part")  # what only the making of parts can heed
CHUNK = 2**22  # tokens that are copied at a time


def part_folder(folder, i, n):
    """Where part i of n lies."""
    return folder / f"part-{i}-of-{n}"


def find_parts(folder):
    """The folders of all parts in their order. DataError if there are none, or one is missing."""
    matches = [re.fullmatch(PART, path.name) for path in folder.iterdir()] if folder.is_dir() else []
    found = {tuple(map(int, match.groups())) for match in matches if match}
    numbers = sorted({n for _, n in found})
    if len(numbers) != 1:
        have = f"parts of {' and of '.join(map(str, numbers))}" if numbers else "none"
        raise DataError(
            f"{folder}: expected the parts of one division, part-1-of-N to part-N-of-N, found {have}; "
            + ("remove those that are not meant" if numbers else "make them by --part I/N first")
        )
    n = numbers[0]
    missing = [i for i in range(1, n + 1) if not (part_folder(folder, i, n) / manifest.MANIFEST).exists()]
    if missing:
        absent = [str(i) for i in missing if (i, n) not in found]
        begun = [str(i) for i in missing if (i, n) in found]
        said = [f"missing: {', '.join(absent)}"] if absent else []
        said += [f"not finished: {', '.join(begun)}"] if begun else []
        raise DataError(
            f"{folder}: expected {n} finished parts, found some not to be: {'; '.join(said)} of {n}; "
            f"run the command of each again, with --part {missing[0]}/{n} for the first"
        )
    return [part_folder(folder, i, n) for i in range(1, n + 1)]


def read_parts(folders, stop):
    """The manifests of the parts. DataError if they do not belong together, or a file is not whole."""
    contents = [manifest.read(folder) for folder in folders]
    for i, (folder, content) in enumerate(zip(folders, contents, strict=True), start=1):
        path = folder / manifest.MANIFEST
        if content.get("part") != [i, len(folders)]:
            raise DataError(
                f"{path}: expected part {i} of {len(folders)}, found part {content.get('part')}; "
                "the folder was renamed: give it its name back"
            )
        if found := list(journal.differences(common(contents[0]), common(content))):
            raise DataError(
                f"{path}: expected the settings and inputs of {folders[0].name}, found others: "
                f"{'; '.join(found)}; make the parts anew with the same ones"
            )
        for shard in content["shards"]:
            if stop.asked:
                raise Stopped
            check_shard(folder / shard["name"], shard)
    return contents


def common(content):
    """What the manifests of all parts must share."""
    return {key: content[key] for key in (*SETTINGS, "inputs")}


def check_shard(path, shard):
    """DataError if a file is not the one of the manifest."""
    check_size(path, shard["bytes"])
    found = describe(path)["sha256"]
    if found != shard["sha256"]:
        raise DataError(
            f"{path}: expected SHA-256 {shard['sha256']}, as the manifest says, found {found}; "
            "copy the part again, or make it anew"
        )


def check_alone(options):
    """ConfigError if a flag makes no sense beside --join."""
    defaults = Data(out=options.out)
    beside = [name for name in MAKING if getattr(options, name) != getattr(defaults, name)]
    if beside:
        raise ConfigError(
            f"join contradicts {', '.join(beside)}: parts that are made already are joined; leave out either"
        )


def check_options(options, settings):
    """ConfigError if a flag contradicts the parts; what is left out is as they have it."""
    defaults = Data(out=options.out)
    for name in ("name", "eot", "field", "shard_tokens"):
        asked = getattr(options, name)
        if asked not in (getattr(defaults, name), settings[name]):
            raise ConfigError(f"{name} must be that of the parts, {settings[name]!r}: found {asked!r}")


def digest(contents):
    """What a joined output depends on, for its journal."""
    return {"parts": hashlib.sha256(json.dumps(contents).encode()).hexdigest()}


def chunks(folders, contents, state):
    """Yield (file, stop, Encoded) from where the state is to the end of the last part's last file."""
    paths = [
        (Path(folder, shard["name"]), shard["tokens"])
        for folder, content in zip(folders, contents, strict=True)
        for shard in content["shards"]
    ]
    for file in range(state.file, len(paths)):
        path, n_tokens = paths[file]
        for start in range(state.offset if file == state.file else 0, n_tokens, CHUNK):
            tokens = np.fromfile(path, "<u2", CHUNK, offset=HEADER_BYTES + 2 * start)
            yield file, start + len(tokens), Encoded(tokens, 0, 0, 0)


def copy(output, folders, contents, stop):
    """Write the tokens of all parts, and count what they counted."""
    for file, end, encoded in chunks(folders, contents, output.state):
        output.add(file, end, encoded)
        if stop.asked:
            raise Stopped
    for name in ("documents", "skipped", "text_bytes"):
        setattr(output.state, name, sum(content[name] for content in contents))


def load_tokenizer(folder, content):
    """The tokenizer of a part, if it is the one of its manifest."""
    tokenizer = Tokenizer.load(folder / manifest.TOKENIZER)
    if fingerprint(tokenizer) != content["tokenizer"]["sha256"]:
        raise DataError(
            f"{folder / manifest.TOKENIZER}: expected the tokenizer of the manifest, found another one; "
            "copy the part again"
        )
    return tokenizer
