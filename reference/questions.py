"""The question that a dump answers: which model, which tokens, which targets. Read from files, or drawn.

A model's weights file is read by minigpt.load_weights, because that is where the formats are known, a text by
its tokenizer; nothing else of minigpt is used, and a random model needs none of it.
"""

import re
from pathlib import Path

import numpy as np

from reference.bad_input import BadInput
from reference.llmc.names import Inputs, Sizes
from reference.llmc.parameters import from_hub, random_parameters

SHARD_MAGIC, HEADER_BYTES = 20240520, 1024  # llm.c's token shards: 256 int32, then uint16
RANDOM = {"n_layer": 2, "n_head": 2, "n_embd": 8, "n_ctx": 16, "n_vocab": 29, "seed": 0}
LARGEST = 2**31 - 1


def question(weights=None, random=None, tokens=None, text=None, targets=None, batch=None, time=None):
    """The Inputs of a dump. Raises BadInput."""
    if (weights is None) == (random is None):
        raise BadInput("give one of --weights PATH and --random SHAPE, such as n_layer=2,n_head=2,n_embd=8")
    if tokens is not None and text is not None:
        raise BadInput("give --tokens FILE or --text FILE, not both")
    shape, params = random_model(random) if weights is None else model_of(weights)
    if tokens is None and text is None and weights is not None:
        raise BadInput("--weights needs a batch: give --tokens FILE or --text FILE")
    if tokens is None and text is None:
        batch, time = batch or 2, time or min(shape["n_ctx"], 8)
        rows = np.random.default_rng([shape["seed"], 1]).integers(0, shape["n_vocab"], (batch, time + 1))
        x, y = rows[:, :-1], rows[:, 1:]
    else:
        x, y = windows(ids_of(tokens) if text is None else ids_of_text(text), batch, time, shape["n_ctx"])
    sizes = Sizes(
        L=shape["n_layer"], H=shape["n_head"], D=shape["n_embd"] // shape["n_head"],
        V=shape["n_vocab"], N=shape["n_ctx"], B=x.shape[0], T=x.shape[1],
    )  # fmt: skip
    if targets is not None:
        y = targets_of(targets, x.shape)
    check_ids("tokens", x, 0, sizes.V)
    check_ids("targets", y, -1, sizes.V)
    return Inputs(sizes, params or random_parameters(sizes, shape["seed"]), x, y)


def random_model(words):
    """(shape, None) of "n_layer=2,n_head=2,n_embd=8,n_ctx=16,n_vocab=29,seed=0"; what is left out is that."""
    shape = dict(RANDOM)
    for word in filter(None, words.replace(" ", "").split(",")):
        field, _, value = word.partition("=")
        if field not in RANDOM or not re.fullmatch(r"[0-9]{1,10}", value) or int(value) > LARGEST:
            fields = ", ".join(RANDOM)
            raise BadInput(f"--random: expected FIELD=NUMBER with FIELD of {fields}: found {word!r}")
        shape[field] = int(value)
    if small := [field for field in RANDOM if field != "seed" and shape[field] < 1]:
        raise BadInput(f"--random: {small[0]} must be 1 or more: found {shape[small[0]]}")
    if shape["n_embd"] % shape["n_head"]:
        raise BadInput(f"--random: n_embd={shape['n_embd']} is not a multiple of n_head={shape['n_head']}")
    return shape, None


def model_of(path):
    """(shape, parameters by key) of a weights file in any format that minigpt reads."""
    import minigpt

    try:
        config, params = minigpt.load_weights(path)
    except minigpt.MinigptError as error:
        raise BadInput(str(error)) from None
    fields = ("n_layer", "n_head", "n_embd", "n_ctx", "n_vocab")
    return {field: getattr(config, field) for field in fields}, from_hub(params, config.n_layer)


def ids_of(path):
    """The ids in a file: .npy of integers; .bin of uint16, llm.c's shards too; .txt of numbers."""
    path, read = Path(path), {".npy": read_npy, ".bin": read_bin, ".txt": read_txt}
    if path.suffix not in read:
        raise BadInput(f"{path}: tokens are read from .npy, .bin or .txt: found {path.suffix or 'no ending'}")
    if not path.is_file():
        raise BadInput(f"{path}: no such file")
    return read[path.suffix](path).astype(np.int64)


def read_npy(path):
    try:
        ids = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as reason:
        raise BadInput(f"{path}: not a whole .npy file: {reason}") from None
    if ids.dtype.kind not in "iu" or ids.ndim not in (1, 2):
        raise BadInput(f"{path}: expected integers (n) or (B, T + 1): found {ids.dtype} {ids.shape}")
    return ids


def read_bin(path):
    content = path.read_bytes()
    if content[:4] == SHARD_MAGIC.to_bytes(4, "little"):
        content = content[HEADER_BYTES:]
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
    import minigpt

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
    if x.size == 0 or x.shape[1] > n_ctx:
        raise BadInput(f"tokens: a row may have 1 to n_ctx={n_ctx} tokens: found shape {x.shape}")
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
