"""The question that a dump answers: which model, which tokens, which targets. Read from files, or drawn.

A model's weights file is read by minigpt.load_weights, because that is where the formats are known, a text by
its tokenizer, and a shape is held against its limits; of a random model minigpt computes nothing.
"""

import numpy as np

import minigpt
from reference.bad_input import BadInput
from reference.llmc.names import Inputs, Sizes
from reference.llmc.parameters import from_hub, random_parameters
from reference.shapes import random_shape
from reference.token_files import ids_of, ids_of_text


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
    ids = None
    if tokens is not None or text is not None:
        ids = ids_of(tokens) if text is None else ids_of_text(text)
        batch, time = windows(ids, batch, time, config.n_ctx)[0].shape
    sizes = sizes_of(config, batch or 2, time or min(config.n_ctx, 8))
    before(sizes)
    x, y = random_rows(sizes, more["seed"]) if ids is None else windows(ids, batch, time, config.n_ctx)
    y = y if targets is None else targets_of(targets, x.shape)
    check_ids("tokens", x, 0, sizes.V)
    check_ids("targets", y, -1, sizes.V)
    return Inputs(sizes, params or random_parameters(sizes, more["seed"]), x, y)


def random_rows(sizes, seed):
    """tokens and targets (B, T), one place apart."""
    rows = np.random.default_rng([seed, 1]).integers(0, sizes.V, (sizes.B, sizes.T + 1))
    return rows[:, :-1], rows[:, 1:]


def sizes_of(config, B=1, T=1):
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
