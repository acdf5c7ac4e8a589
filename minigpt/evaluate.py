"""How well a model predicts text it has not seen: nats a token, and bits a byte."""

import math
from typing import NamedTuple

import numpy as np

from minigpt import room
from minigpt.arrays import device_of
from minigpt.comm import Alone
from minigpt.data import ordered_windows
from minigpt.errors import DataError
from minigpt.ops.cross_entropy import IGNORED
from minigpt.reading import last_states

ALONE = Alone()


class Score(NamedTuple):
    """nats a token depends on the tokenizer; bits a byte does not, and is what a compressor would need."""

    nats_per_token: float
    bits_per_byte: float
    n_tokens: int  # that were scored
    n_bytes: int  # that they stand for


def evaluate(model, ids, context, batch_size, every=1, progress=lambda rows: None, world=ALONE):
    """Score a text of which every id but the first is predicted once.

    Windows lie side by side (data.ordered_windows), so a window's first tokens are predicted from little.
    model: a model_files.Model. every=n: only each n-th window. progress is told after each batch how many
    windows it had. Ranks of a world share the windows. Raises DataError if there is nothing to score.

    ids (M)
    """
    tokens, targets = ordered_windows(ids, context, every)  # (N, T) each
    n_tokens, n_bytes = int((targets != IGNORED).sum()), text_bytes(targets, model.tokenizer)
    if not n_bytes:
        raise DataError(f"nothing to score: {n_tokens} tokens that stand for no text")
    check_batch(model, min(batch_size, len(tokens)), context)
    tokens, targets = tokens[world.rank :: world.size], targets[world.rank :: world.size]
    nats = np.empty(len(tokens))
    with model.ops.session():
        for start in range(0, len(tokens), batch_size):
            batch = slice(start, start + batch_size)
            nats[batch] = nats_of_rows(model, tokens[batch], targets[batch])
            progress(len(tokens[batch]))
    # rounded once, in whichever batches, and on whichever ranks, the windows came
    total = math.fsum(one for rank in world.gather(nats.tolist()) for one in rank)
    return Score(total / n_tokens, total / math.log(2) / n_bytes, n_tokens, n_bytes)


def check_batch(model, rows, context):
    """A ConfigError if so many rows cannot be read at once."""
    one = model.params["wte.weight"]
    if device_of(one) == "numpy":
        room.check_forward(model.config, rows, context, one.itemsize)


def text_bytes(targets, tokenizer):
    """How many bytes of text the scored targets stand for; special tokens, <|endoftext|> above all, for none.

    targets (N, T)
    """
    sizes = np.array([len(token) for token in tokenizer.tokens])  # (V)
    sizes[list(tokenizer.special.values())] = 0
    return int(sizes[targets[targets != IGNORED]].sum())


def nats_of_rows(model, tokens, targets):
    """The sum of -log p over each row's scored targets.

    Logits are made for one row at a time, and only where it is scored.

    tokens (B, T), targets (B, T) -> nats (B)
    """
    x = last_states(model.config, model.ops, model.params, tokens)  # (B, T, C)
    return np.array([nats_of_row(model, *row) for row in zip(x, targets, strict=True)])  # (B)


def nats_of_row(model, x, targets):
    """The sum of -log p over the scored targets, after the states x.

    x (T, C), targets (T)
    """
    places = np.flatnonzero(targets != IGNORED)[None]  # (1, S)
    places, targets = model.ops.upload((places, targets[places]))  # (1, S) each
    logits, _ = model.ops.unembedding_forward(x[places], model.params["wte.weight"])  # (1, S, V)
    loss, _ = model.ops.cross_entropy_forward(logits, targets)
    return places.size * float(loss)
