"""How well a model predicts text it has not seen: nats a token, and bits a byte."""

import math
from typing import NamedTuple

from minigpt.data import ordered_batches
from minigpt.model import forward
from minigpt.ops.cross_entropy import IGNORED


class Score(NamedTuple):
    """nats a token depends on the tokenizer; bits a byte does not, and is what a compressor would need."""

    nats_per_token: float
    bits_per_byte: float


def evaluate(config, ops, params, ids, n_bytes, context, batch_size):
    """Score a text of n_bytes, given as ids that begin with a token nobody has to predict.

    Windows of `context` tokens, side by side: a window's first tokens are predicted from little.

    ids (M)
    """
    nats, count = 0.0, 0
    for tokens, targets in ordered_batches(ids, context, batch_size):
        logits, _ = forward(config, ops, params, tokens)
        scored = int((targets != IGNORED).sum())
        nats += scored * float(ops.cross_entropy_forward(logits, targets)[0])
        count += scored
    return Score(nats / count, nats / math.log(2) / n_bytes)
