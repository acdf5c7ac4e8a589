"""The question that a dump answers: which model, which tokens, which targets. Read from files, or drawn.

A model's weights file is read by minigpt.load_weights, because that is where the formats are known, a text by
its tokenizer, and a shape is held against its limits; of a random model minigpt computes nothing.
"""

import re
from pathlib import Path

import numpy as np

import minigpt
from reference.bad_input import BadInput
from reference.llmc.names import Inputs, Sizes
from reference.llmc.parameters import from_hub, random_parameters
from reference.npy import read_npy
from reference.shapes import random_shape

SHARD_MAGIC, LLAMA_MAGIC = 20240520, 20240801  # llm.c's token shards
HEADER_BYTES = 1024  # 256 int32, then uint16


def question(
    weights=None,
    random=None,
    tokens=None,
    text=None,
    targets=None,
    batch=None,
    time=None,
    before=lambda sizes: None,
):
    """The Inputs of a dump. before(sizes) may refuse, when nothing large has been made. Raises BadInput."""
    if (weights is None) == (random is None):
        raise BadInput("give one of --weights PATH and --random SHAPE, such as n_layer=2,n_head=2,n_embd=8")
    if tokens is not None and text is not None:
        raise BadInput("give --tokens FILE or --text FILE, not both")
    if tokens is None and text is None and weights is not None:
        raise BadInput("--weights needs a batch: give --tokens FILE or --text FILE")
    (config, more), params = (random_shape(random, seed=0), None) if weights is None else model_of(weights)
    if tokens is None and text is None:
        sizes = sizes_of(config, batch or 2, time or min(config.n_ctx, 8))
        before(sizes)
        rows = np.random.default_rng([more["seed"], 1]).integers(0, sizes.V, (sizes.B, sizes.T + 1))
        x, y = rows[:, :-1], rows[:, 1:]
    else:
        x, y = windows(ids_of(tokens) if text is None else ids_of_text(text), batch, time, config.n_ctx)
        sizes = sizes_of(config, *x.shape)
        before(sizes)
    if targets is not None:
        y = targets_of(targets, x.shape)
    check_ids("tokens", x, 0, sizes.V)
    check_ids("targets", y, -1, sizes.V)
    return Inputs(sizes, params or random_parameters(sizes, more["seed"]), x, y)


def sizes_of(config, B, T):
    """The Sizes of a model and a batch."""
    if T > config.n_ctx:
        raise BadInput(f"a row may have 1 to n_ctx={config.n_ctx} tokens: found {T}")
    return Sizes(L=config.n_layer, H=config.n_head, D=config.n_embd // config.n_head, V=config.n_vocab,
                 N=config.n_ctx, B=B, T=T)  # fmt: skip


def model_of(path):
    """((config, {}), parameters by key) of a weights file in any format that minigpt reads."""
    try:
        config, params = minigpt.load_weights(path)
    except minigpt.MinigptError as error:
        raise BadInput(str(error)) from None
    return (config, {}), from_hub(params, config.n_layer)


def ids_of(path):
    """The ids in a file: .npy of integers; .bin of uint16, llm.c's shards too; .txt of numbers."""
    path, read = Path(path), {".npy": read_ids, ".bin": read_bin, ".txt": read_txt}
    if path.suffix not in read:
        raise BadInput(f"{path}: tokens are read from .npy, .bin or .txt: found {path.suffix or 'no ending'}")
    if not path.is_file():
        raise BadInput(f"{path}: no such file")
    return read[path.suffix](path).astype(np.int64)


def read_ids(path):
    ids = read_npy(path)
    if ids.dtype.kind not in "iu" or ids.ndim not in (1, 2):
        raise BadInput(f"{path}: expected integers (n) or (B, T + 1): found {ids.dtype} {ids.shape}")
    return ids


def read_bin(path):
    content = path.read_bytes()
    magic, version, count = np.frombuffer(content[:12].ljust(12, b"\0"), "<i4").tolist()
    if magic == LLAMA_MAGIC:
        raise BadInput(f"{path}: expected GPT-2's tokens: found a shard of Llama's, magic {magic}")
    if magic == SHARD_MAGIC:
        content = content[HEADER_BYTES:]
        if (version, 2 * count) != (1, len(content)):
            raise BadInput(
                f"{path}: the header says version {version} and {count} tokens, expected version 1 and "
                f"{len(content) // 2}, which are there: is the shard cut off?"
            )
    if len(content) % 2:
        raise BadInput(f"{path}: expected uint16 tokens: found an odd number of bytes, {len(content)}")
    return np.frombuffer(content, "<u2")


def read_txt(path):
    words = path.read_text(encoding="utf-8", errors="replace").replace(",", " ").split()
    if wrong := next((word for word in words if not re.fullmatch(r"[0-9]{1,9}", word)), None):
        raise BadInput(f"{path}: expected ids, whole numbers with spaces between: found {wrong[:20]!r}")
    return np.array(words, np.int64)


def ids_of_text(path):
    """A text's ids by GPT-2's tokenizer, which is minigpt's."""
    try:
        return np.array(minigpt.Tokenizer.gpt2().encode(Path(path).read_text(encoding="utf-8")), np.int64)
    except UnicodeDecodeError as reason:
        raise BadInput(f"{path}: expected UTF-8: byte {reason.start} is not") from None


def windows(ids, batch, time, n_ctx):
    """tokens and targets (B, T), one place apart: rows of (B, T + 1), or consecutive windows of one long row.

    Consecutive windows overlap by one id, as llm.c's loader has them: x = ids[:B*T], y = ids[1 : B*T + 1].
    """
    if ids.ndim == 2:
        rows = ids[:batch, : None if time is None else time + 1]
        x, y = rows[:, :-1], rows[:, 1:]
        if batch not in (None, len(x)) or time not in (None, x.shape[1]):
            raise BadInput(f"tokens: expected {batch} rows of {time} + 1 ids: found shape {ids.shape}")
    else:
        batch = batch or 1
        time = time or max(1, min(n_ctx, (len(ids) - 1) // batch))
        if batch < 1 or time < 1 or len(ids) <= batch * time:
            raise BadInput(f"tokens: expected {batch} x {time} + 1 ids or more: found {len(ids)}")
        x, y = (ids[shift : batch * time + shift].reshape(batch, time) for shift in (0, 1))
    if x.size == 0:
        raise BadInput(f"tokens: expected B rows of T + 1 ids, two at least: found shape {ids.shape}")
    return x, y


def targets_of(path, shape):
    """Targets from a file, of the tokens' shape, at least one of them scored."""
    targets = ids_of(path)
    if targets.shape != shape:
        raise BadInput(f"{path}: targets must have the tokens' shape {shape}: found {targets.shape}")
    if (targets == -1).all():
        raise BadInput(f"{path}: all targets are -1, so there is no loss: score at least one position")
    return targets


def check_ids(name, ids, low, high):
    """Refuse ids outside [low, high), and say which stands where."""
    outside = (ids < low) | (ids >= high)
    if outside.any():
        place = tuple(int(i) for i in np.argwhere(outside)[0])
        raise BadInput(f"{name}: ids must be from {low} to {high - 1}: found {ids[place]} at {list(place)}")
