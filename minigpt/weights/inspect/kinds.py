"""Which report a path gets, by its content."""

import hashlib
import io
import math
import os

import numpy as np

from minigpt.disk import read_json
from minigpt.errors import CheckpointError
from minigpt.weights.formats import ends, format_of, magic_of
from minigpt.weights.inspect.folders import NPY, may_be_tokens, report_of_folder
from minigpt.weights.inspect.llmc import REPORTS, V, report_llmc
from minigpt.weights.inspect.models import model_line, report_weights
from minigpt.weights.inspect.tensors import table
from minigpt.weights.npz import HEADER_LIMIT, read_array_header
from minigpt.weights.stored import AGAIN, MappedFile, Stored, check_room, refuse

SHARDS, LLAMA_SHARDS = 20240520, 20240801
NAMES = {
    20240327: "a debug state of llm.c",
    20240527: "an optimizer state of llm.c",
    20240328: "a tokenizer of llm.c",
    20240522: "an evaluation file of llm.c (HellaSwag)",
}
VOCABULARIES = (".json", ".bpe", ".tiktoken", ".txt")
# openai/gpt-2's own files
GPT2 = {
    "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5": "GPT-2's vocab.bpe",
    "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783": "GPT-2's encoder.json",
}


def report(path, n_head=None):
    """Yield the lines of a report on any file or folder. Raises MinigptError, the verdict, if it is bad."""
    if os.path.isfile(path):  # Path.is_file raises an error where one may not look
        head, _, size = ends(path)
        if found := report_of_file(path, head, size):
            yield from found
            return
    if os.path.isdir(path) and (found := report_of_folder(path)):
        yield from found
        return
    try:
        format = format_of(path)
    except CheckpointError:
        if not may_be_tokens(path):
            raise
        yield from titled(path, "no format that says so, but it may be nanoGPT's", report_shard(path, "raw"))
        return
    yield f"{path}: {format.name}{sizes(path)}"
    yield from report_weights(path, format, n_head)


def sizes(path):
    """The size of a file, to be put behind its name."""
    return "" if path.is_dir() or not path.exists() else f", {path.stat().st_size:,} bytes"


def report_of_file(path, head, size):
    """The report on a file that is no weights, or None."""
    magic = magic_of(head)
    if magic in REPORTS:
        return titled(path, NAMES[magic], report_llmc(path, magic))
    if magic in (SHARDS, LLAMA_SHARDS):
        return titled(path, "a token shard of llm.c", report_shard(path, None))
    if head.startswith(NPY):
        return titled(path, "a NumPy array (.npy)", report_npy(path))
    if head.startswith(b"s:") and path.suffix == ".log":
        return titled(path, "a log in llm.c's grammar", report_log(path))
    if path.suffix in VOCABULARIES and not path.name.endswith(".index.json"):
        return titled(path, "words about a model, or a tokenizer", report_vocabulary(path))
    return None


def titled(path, name, lines):
    """Yield what a file is, then its report."""
    yield f"{path}: {name}{sizes(path)}"
    yield from lines


def report_shard(path, format):
    """Tokens of a shard, all below GPT-2's vocabulary."""
    from minigpt.shards import TokenShards

    shards = TokenShards(path, n_vocab=V, format=format)
    ids = shards[0].ids()
    yield f"{len(ids):,} tokens from {ids.min()} to {ids.max()}, {int((ids == V - 1).sum()):,} documents"
    yield f"verdict: whole, every token is below {V}"


def report_npy(path):
    """One array; of uint16 in one row, it is a token shard of build-nanogpt."""
    file = MappedFile(path)
    head = io.BytesIO(file.content[:HEADER_LIMIT].tobytes())
    shape, fortran, dtype = read_array_header(path, head)
    check_room(file, f"{dtype} of shape {shape}", head.tell() + math.prod(shape) * dtype.itemsize)
    if dtype == np.uint16 and len(shape) == 1:
        yield "one row of uint16: token ids, as build-nanogpt writes them"
        yield from report_shard(path, None)
        return
    kept = shape[::-1] if fortran else shape
    yield from table({path.stem: Stored(file, path.stem, dtype, kept, head.tell(), None, fortran)})
    yield "verdict: whole, every number is finite"


def report_log(path):
    """How far a run came: the last line of each kind."""
    last = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        words = dict(word.split(":", 1) for word in line.split() if ":" in word)
        if "s" not in words or not words["s"].isdigit():
            refuse(path, "lines such as 's:20 trl:3.2 lr:0.0006 norm:0.5'", repr(line[:60]), "is it a log?")
        last |= {key: (value, words["s"]) for key, value in words.items() if key != "s"}
    names = {"tel": "validation loss", "eval": "HellaSwag", "trl": "training loss", "lr": "learning rate"}
    for key, (value, step) in last.items():
        yield f"  {names.get(key, key)}: {value} at step {step}"
    yield "verdict: readable to its end"


def report_vocabulary(path):
    """A tokenizer, a table from tokens to ids, or a configuration."""
    from minigpt.tokenizer import Tokenizer

    content = path.read_bytes()
    if known := GPT2.get(hashlib.sha256(content).hexdigest()):
        yield f"verdict: {known}, byte for byte"
        return
    if content.lstrip()[:1] == b"{" and (words := read_json(path)):
        if "n_layer" in words:
            yield model_line(config_in(path, words))
            yield "verdict: sizes of a model; its weights lie in other files"
            return
        if all(type(id) is int for id in words.values()):
            if sorted(words.values()) != list(range(len(words))):
                refuse(path, f"the ids from 0 to {len(words) - 1}, each once", "others", AGAIN)
            yield f"a table from {len(words):,} tokens to their ids; the merges lie in another file"
            yield "verdict: whole"
            return
    tokenizer = Tokenizer.load(path)
    yield f"{tokenizer.n_vocab:,} ids, {len(tokenizer.merges):,} merges, <|endoftext|> is {tokenizer.eot}"
    yield "verdict: whole, byte-level BPE as GPT-2's"


def config_in(path, words):
    """The GPTConfig in config.json or hparams.json."""
    from minigpt.config import GPTConfig
    from minigpt.weights.hugging_face import config_words
    from minigpt.weights.openai import checked_hparams

    return GPTConfig(**(checked_hparams(path) if "n_vocab" in words else config_words(path)))
