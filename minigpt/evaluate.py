"""How well a model predicts text it has not seen: nats a token, and bits a byte."""

import math
from typing import NamedTuple

from minigpt.model import forward
from minigpt.ops.cross_entropy import IGNORED


class Score(NamedTuple):
    """nats a token depends on the tokenizer; bits a byte does not, and is what a compressor would need."""

    nats_per_token: float
    bits_per_byte: float


def evaluate(config, ops, params, tokens, targets, n_bytes, batch_size, progress=lambda rows: None):
    """Score windows of a text whose scored targets stand for n_bytes of it.

    Windows lie side by side (data.ordered_windows), so a window's first tokens are predicted from little.
    progress is told after each batch how many windows it had.

    tokens (N, T), targets (N, T)
    """
    nats, count = 0.0, 0
    for start in range(0, len(tokens), batch_size):
        part = targets[start : start + batch_size]  # (B, T)
        logits, _ = forward(config, ops, params, tokens[start : start + batch_size])  # (B, T, V)
        scored = int((part != IGNORED).sum())
        nats += scored * float(ops.cross_entropy_forward(logits, part)[0])
        count += scored
        progress(len(part))
    return Score(nats / count, nats / math.log(2) / n_bytes)
