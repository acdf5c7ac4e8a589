"""What the tests of minigpt data share: a small tokenizer, a reader of shards, ways to run it."""

import functools
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from minigpt import texts
from minigpt.prepare.options import Data
from minigpt.prepare.run import prepare
from minigpt.tokenizer import Tokenizer

SPEECHES = [text for _, text in texts.load_sotu()[:4]]

# a run of its own: python -c RUN unit every flags...
RUN = """
import sys, tyro
from minigpt.errors import MinigptError
from minigpt.prepare import output, run
from minigpt.prepare.options import Data
if __name__ == "__main__":
    unit, output.EVERY = int(sys.argv[1]), float(sys.argv[2])
    options = tyro.cli(Data, args=sys.argv[3:], config=(tyro.conf.FlagCreatePairsOff,))
    try:
        sys.exit(run.prepare(options, unit))
    except MinigptError as error:
        sys.exit(print("minigpt:", error, file=sys.stderr) or 2)
"""


def command(*flags, unit=2**23, every=0.01):
    """The command line of such a run."""
    return [sys.executable, "-c", RUN, str(unit), str(every), *map(str, flags)]


@functools.cache
def small():
    """(a tokenizer of 400 ids, the path where it is saved)."""
    tokenizer = Tokenizer.train(SPEECHES, 400)
    path = Path(tempfile.mkdtemp(prefix="minigpt-")) / "small.bpe"
    tokenizer.save(path)
    return tokenizer, str(path)


def run(inputs, out, unit=2**23, **flags):
    """minigpt data in this process, with the small tokenizer and one worker if nothing else is said."""
    tokenizer = {} if flags.get("join") else {"tokenizer": small()[1]}
    flags = tokenizer | {"workers": 1, "name": "x"} | flags
    return prepare(Data(out=str(out), inputs=tuple(map(str, inputs)), **flags), unit)


def expected_tokens(documents, eot="before", tokenizer=None):
    """Every document encoded whole, by the tokenizer's readable path."""
    tokenizer, ids = tokenizer or small()[0], []
    for text in documents:
        encoded = tokenizer.encode(text, fast=False)
        ids += [tokenizer.eot, *encoded] if eot == "before" else [*encoded, tokenizer.eot]
    return ids


def read_shard(path):
    """A shard's tokens, by llm.c's description of it: 256 int32, of which three count, then uint16."""
    header = np.fromfile(path, "<i4", 256)
    assert header[:2].tolist() == [20240520, 1]
    assert not header[3:].any()
    tokens = np.fromfile(path, "<u2", offset=1024)
    assert header[2] == len(tokens)
    assert path.stat().st_size == 1024 + 2 * len(tokens)
    return tokens


def read_output(out):
    """(the shards' names, all tokens) of a folder; the names count through."""
    paths = sorted(Path(out).glob("*_[0-9]*.bin"), key=lambda path: path.stem[-6:])
    assert [path.stem[-6:] for path in paths] == [f"{i:06d}" for i in range(len(paths))]
    return [path.name for path in paths], [id for path in paths for id in read_shard(path).tolist()]


def manifest_of(out):
    return json.loads((Path(out) / "manifest.json").read_text())


def contents(folder):
    """Every file under a folder with its bytes."""
    return {
        str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()
    }


def write_jsonl(path, documents):
    path.write_bytes(b"".join(json.dumps({"text": text}).encode() + b"\n" for text in documents))


def write_parquet(path, documents, row_group_size=7, **columns):
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table({"id": list(range(len(documents))), "text": documents} | columns)
    pyarrow.parquet.write_table(table, path, row_group_size=row_group_size)
