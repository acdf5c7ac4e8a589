"""python -m bench.data: text to tokens, in MB a second, beside tiktoken on the same text, in turn in one run.

Encoders alone, in one process and in two: ours as it stands in bpe.py, ours in bulk, tiktoken's. Then whole
runs of `minigpt data`, from a parquet file with FineWeb's column `text` to finished shards, start included.
"""

import dataclasses
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow
import pyarrow.parquet
import tiktoken
import tyro
from tiktoken_ext.openai_public import r50k_pat_str

from bench.record import save_record
from minigpt import texts
from minigpt.tokenizer import Tokenizer

ADDRESSES = 233  # in one copy
SHARES = 20  # that two processes take in turn
ROW = "{:40s}{mb_per_second:8.1f} MB/s{spread:7.0%}{of_tiktoken_in_1_process:7.2f}"
PEER = "tiktoken encode_ordinary, 1 process"


@dataclasses.dataclass(frozen=True)
class Options:
    """Measure the way from text to tokens."""

    repeats: int = 3
    """Rounds; each measures everything once."""
    copies: int = 50
    """How many times the State of the Union addresses (10.8 MB) make the text."""
    save: bool = False
    """Keep the result in bench/records."""


def tiktoken_gpt2():
    """tiktoken's gpt2 with its own, quicker pattern."""
    ranks = {token: rank for rank, token in enumerate(Tokenizer.gpt2().tokens[:-1])}
    special = {"<|endoftext|>": 50256}
    return tiktoken.Encoding("gpt2", pat_str=r50k_pat_str, mergeable_ranks=ranks, special_tokens=special)


def encode_own(documents):
    """Ours, with nothing kept from before: it remembers pieces, which flatters on a text told twice."""
    tokenizer = Tokenizer.gpt2()
    for text in documents:
        tokenizer.encode(text, fast=False)


def encode_bulk(documents):
    for text in documents:
        _made["bulk"].encode_array(text)


def encode_tiktoken(documents):
    for text in documents:
        _made["tiktoken"].encode_ordinary(text)


_made = {}  # encoders, made once a process


def make_encoders():
    _made.update(bulk=Tokenizer.gpt2(), tiktoken=tiktoken_gpt2())
    _made["bulk"].encode_array("ready")


ENCODERS = {"own": encode_own, "bulk": encode_bulk, "tiktoken encode_ordinary": encode_tiktoken}
ONCE = ("own",)  # encoders that read the addresses once, whatever the number of copies


def clocked(function, *arguments):
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def write_parquet(path, documents):
    """A file as FineWeb's: a string column text among others, row groups of 1,000 documents and less."""
    table = pyarrow.table({"text": documents, "id": [f"<urn:{n}>" for n in range(len(documents))]})
    pyarrow.parquet.write_table(table, path, row_group_size=100)


def prepare(source, workers):
    """minigpt data, as a user runs it."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "minigpt", "data", str(source), "--out", f"{folder}/shards"]
        subprocess.run([*command, "--workers", str(workers)], check=True, capture_output=True)


def measure(documents, options):
    """Name -> MB a second of every round."""
    rates = {}

    def note(name, size, seconds):
        rates.setdefault(name, []).append(size / seconds)

    context = multiprocessing.get_context("spawn")
    with context.Pool(2, make_encoders) as pool, tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "addresses.parquet"
        write_parquet(source, documents)
        pool.map(encode_tiktoken, [documents[:10]] * 8)  # both processes are there
        for _ in range(options.repeats):
            for name, encode in ENCODERS.items():
                texts = documents[:ADDRESSES] if name in ONCE else documents
                shares = [texts[i::SHARES] for i in range(SHARES)]
                note(f"{name}, 1 process", mega(texts), clocked(encode, texts))
                note(f"{name}, 2 processes", mega(texts), clocked(pool.map, encode, shares, 1))
            for workers in (1, 2):
                note(f"minigpt data, {workers} workers", mega(documents), clocked(prepare, source, workers))
    return rates


def mega(documents):
    """Millions of bytes."""
    return sum(len(text.encode()) for text in documents) / 1e6


def main():
    options = tyro.cli(Options, description=__doc__)
    make_encoders()
    documents = [text for _, text in texts.load_sotu()] * options.copies
    rates = measure(documents, options)
    results = {}
    for name, rounds in rates.items():
        ratios = [ours / theirs for ours, theirs in zip(rounds, rates[PEER], strict=True)]
        results[name] = {
            "mb_per_second": statistics.median(rounds),
            "spread": (max(rounds) - min(rounds)) / statistics.median(rounds),
            "of_tiktoken_in_1_process": statistics.median(ratios),
        }
        print(ROW.format(name, **results[name]))
    if options.save:
        print(save_record(Path(__file__).parent / "records", "data", dataclasses.asdict(options), results))


if __name__ == "__main__":
    main()
