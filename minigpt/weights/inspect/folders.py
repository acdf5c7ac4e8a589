"""Reports on folders that hold no weights themselves: a run with its checkpoints, token shards."""

import numpy as np

from minigpt.errors import CheckpointError
from minigpt.shards import MAGIC, TokenShards
from minigpt.shelf import checked_name, checkpoints, step_of
from minigpt.sources import SHARDS, is_validation, tokenizer_beside
from minigpt.weights.formats import PICKLES, ends, magic_of
from minigpt.weights.hugging_face import INDEX, TENSORS
from minigpt.weights.inspect.llmc import V
from minigpt.weights.strangers import stranger
from minigpt.weights.tensor_bundle import index_of

NPY = b"\x93NUMPY"
WEIGHTS = {"state.json", TENSORS, INDEX, *PICKLES}


def report_of_folder(path):
    """The report on a run's folder, or on one of token shards; None for another, or one that is closed."""
    try:
        names = {entry.name for entry in path.iterdir()}
    except OSError:
        return None
    if WEIGHTS & names or index_of(path):
        return None
    if steps := checkpoints(path):
        return report_run(path, steps)
    files = sorted(file for file in path.iterdir() if file.suffix in SHARDS and file.is_file())
    if any(map(is_shard, files)):
        return report_shards(path, files)
    return None


def report_run(path, steps):
    """Its checkpoints, the newest first, and which of them is the one to take. CheckpointError if none is."""
    yield f"{path}: a run's folder, {len(steps)} checkpoint{'s'[: len(steps) > 1]}, the newest first"
    faults = {}
    for step in reversed(steps):
        try:
            checked_name(step)
        except CheckpointError as reason:
            faults[step] = reason
        sound = f"step {step_of(step):,}, its files are as state.json says"
        yield f"  {step.name}: {faults.get(step) or sound}"
    if len(faults) == len(steps):
        raise CheckpointError(f"{path}: none of its checkpoints is sound")
    newest = next(step for step in reversed(steps) if step not in faults)
    yield f"verdict: a run to go on with; `minigpt inspect {newest}` shows the newest sound one's tensors"


def is_shard(path):
    """Whether a file begins as token shards do, or may be one of nanoGPT's."""
    return has_header(path) or may_be_tokens(path)


def has_header(path):
    """Whether a file says of itself that it holds tokens, or an array."""
    head = ends(path)[0]
    return magic_of(head) == MAGIC or head.startswith(NPY)


def may_be_tokens(path):
    """Whether a file of no known format may be GPT-2's tokens as uint16 and nothing else."""
    if path.suffix != ".bin" or not path.is_file() or path.stat().st_size % 2 or path.stat().st_size == 0:
        return False
    head, _, size = ends(path)
    return stranger(head, size) is None and np.frombuffer(head, "<u2", len(head) // 2).max() < V


def report_shards(path, files):
    """Token shards, all of them read to their ends. Raises DataError if one is not whole."""
    from minigpt.tokenizer import Tokenizer

    format = None if any(map(has_header, files)) else "raw"
    how = " without a header, as nanoGPT's: --data-format raw" if format else ""
    yield f"{path}: token shards{how}"
    beside = tokenizer_beside(files)
    n_vocab = Tokenizer.load(beside).n_vocab if beside else V
    shards = TokenShards(files, n_vocab, format)
    counts = {True: 0, False: 0}
    for file, count in zip(shards.paths, shards.counts, strict=True):
        held_out = is_validation(file)
        counts[held_out] += count
        yield f"  {file.name}: {count:,} tokens {'for validation' if held_out else 'to train on'}"
    whose = f"{n_vocab} of {'the tokenizer beside them' if beside else 'GPT-2'}"
    yield f"{counts[False]:,} tokens to train on, {counts[True]:,} for validation, vocabulary {whose}"
    more = f" --data-format {format}" if format else ""
    more += "" if counts[True] else " --val-data GLOB"
    yield f"verdict: whole, every token is below {n_vocab}; minigpt train --data {path}{more} takes them"
