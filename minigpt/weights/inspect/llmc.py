"""Reports on llm.c's other files: debug states, optimizer states, tokenizers, token shards, HellaSwag.

karpathy/llm.c: train_gpt2.py, train_gpt2.cu, dev/data, llmc/dataloader.h
"""

import math

import numpy as np

from minigpt.config import PRESETS
from minigpt.weights.inspect.tensors import table
from minigpt.weights.llmc import HEADER_BYTES, n_params, padded
from minigpt.weights.stored import AGAIN, MappedFile, Stored, check_room, refuse

F4, I4, U2 = np.dtype("<f4"), np.dtype("<i4"), np.dtype("<u2")
V = 50257
VERSIONS = {20240327: 2, 20240527: 1, 20240328: 2, 20240522: 1}
EXAMPLE = 65535  # what an example of HellaSwag begins with
COMPLETIONS = 4


def report_llmc(path, magic):
    """Yield the lines of a report on a file with the first int32 magic. Raises CheckpointError."""
    file = MappedFile(path)
    if file.size < HEADER_BYTES:
        check_room(file, "llm.c's header alone", HEADER_BYTES)
    header = file.content[:HEADER_BYTES].view(I4).tolist()
    if header[1] != VERSIONS[magic]:
        refuse(path, f"version {VERSIONS[magic]}", f"version {header[1]}", "write it with llm.c of today")
    yield from REPORTS[magic](file, header)


def report_debug_state(file, header):
    """Inputs, targets, logits, loss and gradients of one batch, for tests of other implementations."""
    B, T = header[2:4]
    if B < 1 or T < 1:
        refuse(file.path, "at least one row and one position", f"B={B}, T={T}", AGAIN)
    parts = {"x": (I4, (B, T)), "y": (I4, (B, T)), "logits": (F4, (B, T, V)), "loss": (F4, ())}
    before = HEADER_BYTES + sum(dtype.itemsize * math.prod(shape) for dtype, shape in parts.values())
    sizes = {n_params(config, padded(V)): name for name, config in PRESETS.items()}
    n_grads, rest = divmod(file.size - before, F4.itemsize)
    if n_grads < 1 or rest:
        layout = f"B={B}, T={T}, {before:,} bytes and more with GPT-2's vocabulary, then gradients"
        expected = f"a debug state of llm.c: {layout}"
        refuse(file.path, expected, f"{file.size:,}", "it is of another vocabulary, or cut off")
    yield f"B={B}, T={T}, gradients of {sizes.get(n_grads, 'a model of no published size')}"
    yield from table(end_to_end(file, parts | {"gradients": (F4, (n_grads,))}))
    check_ids(file, B * T)
    yield "verdict: whole, every number is finite"


def check_ids(file, count):
    """A CheckpointError if inputs and targets are no ids of GPT-2."""
    ids = file.content[HEADER_BYTES : HEADER_BYTES + 8 * count].view(I4)
    if wrong := ids[(ids < -1) | (ids >= V)].tolist():
        refuse(file.path, f"ids below {V}", f"{wrong[0]}: wrong vocabulary", AGAIN)


def end_to_end(file, parts):
    """name -> Stored of arrays one after the other behind the header."""
    offset, found = HEADER_BYTES, {}
    for name, (dtype, shape) in parts.items():
        found[name] = Stored(file, name, dtype, shape, offset)
        offset += found[name].nbytes
    return found


def report_optimizer_state(file, header):
    """AdamW's means of the parameters that one process keeps."""
    processes, rank, master = header[2:5]
    arrays = ("m", "v", "master")[: 3 if master else 2]
    count, rest = divmod(file.size - HEADER_BYTES, F4.itemsize * len(arrays))
    if count < 1 or processes < 1 or not 0 <= rank < processes:
        refuse(file.path, "means of at least one parameter", f"{file.size:,} bytes, rank {rank}", AGAIN)
    yield f"step {header[10]:,}, rank {rank} of {processes}, master weights: {'yes' if master else 'no'}"
    yield from table(end_to_end(file, {name: (F4, (count,)) for name in arrays}))
    if rest:
        yield f"{rest:,} more bytes: the order of the shards, or a sign that the file was cut off"
    yield "verdict: every number is finite; minigpt does not resume from it"


def report_tokenizer(file, header):
    """Each token's length and bytes, in the order of ids."""
    n_tokens, end = header[2:4]
    at, content = HEADER_BYTES, file.content.tobytes()
    for token in range(n_tokens):
        if at >= file.size or at + 1 + content[at] > file.size:
            refuse(file.path, f"{n_tokens:,} tokens", f"the end of the file within token {token:,}", AGAIN)
        at += 1 + content[at]
    check_room(file, f"{n_tokens:,} tokens", at)
    yield f"{n_tokens:,} tokens, <|endoftext|> is {end}"
    if n_tokens != V:
        refuse(file.path, f"GPT-2's {V} tokens", f"{n_tokens}: wrong vocabulary", "is it of another model?")
    yield "verdict: whole"


def report_hellaswag(file, header):
    """Questions with four endings each, as tokens."""
    expected, longest = header[2:4]
    words = file.content[HEADER_BYTES : file.size - file.size % 2].view(U2)
    at, count = 0, 0
    while at < len(words):
        at, count = example_end(file, words, at, count), count + 1
    if count != expected:
        refuse(file.path, f"{expected:,} examples, as its header says", f"{count:,}", AGAIN)
    yield f"{count:,} examples of 4 endings, the longest of {longest:,} bytes"
    yield "verdict: whole"


def example_end(file, words, at, count):
    """Where an example ends: 65535, bytes, index, label, 4, then a context and 4 endings with lengths."""
    head = words[at : at + 5].tolist()
    stop = at + head[1] // U2.itemsize if len(head) == 5 else 0
    where = f"{file.path}: example {count:,}"
    if stop > len(words):
        refuse(where, f"{head[1]:,} bytes", f"{2 * (len(words) - at):,}, cut off", AGAIN)
    if head[:1] != [EXAMPLE] or stop <= at or head[4] != COMPLETIONS or head[3] >= COMPLETIONS:
        refuse(where, "65535, its bytes, its index, a label below 4, and 4", f"{head}", AGAIN)
    place = at + 5
    for _ in range(1 + COMPLETIONS):
        place += 1 + int(words[place]) if place < stop else 1
    if place != stop:
        refuse(where, f"{stop - at} words", f"{place - at} by its own lengths", AGAIN)
    if (wrong := words[at + 5 : stop].max(initial=0)) >= V:
        refuse(where, f"ids below {V}", f"{wrong}: wrong vocabulary", AGAIN)
    return stop


REPORTS = {
    20240327: report_debug_state,
    20240527: report_optimizer_state,
    20240328: report_tokenizer,
    20240522: report_hellaswag,
}
