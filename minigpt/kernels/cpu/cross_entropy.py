"""The loss and its gradient in one sweep over a block of rows. Reference: ops/cross_entropy.py."""

import numpy as np

from minigpt.ops.cross_entropy import IGNORED


def cross_entropy_forward(logits, targets, *, team):
    """loss = mean of -log softmax(logits)[target]. logits is donated: it becomes dlogits for dloss = 1.

    logits (B, T, V), targets (B, T) -> loss ()
    """
    V = logits.shape[-1]
    rows, flat = logits.reshape(-1, V), targets.reshape(-1)
    scored = flat != IGNORED
    share = scored / logits.dtype.type(scored.sum())  # what each row weighs in the mean
    losses = np.zeros(rows.shape[0], logits.dtype)
    ones = np.ones(V, logits.dtype)

    def job(block):
        x, hit = rows[block], (np.arange(block.stop - block.start), flat[block])
        x -= x.max(axis=-1, keepdims=True)
        chosen = x[hit]
        np.exp(x, out=x)
        total = x @ ones
        losses[block] = (np.log(total) - chosen) * share[block]
        x *= (share[block] / total)[:, None]
        x[hit] -= share[block]

    team.split(job, *rows.shape)
    return losses.sum(), (logits,)


def cross_entropy_backward(dloss, cache, *, team):
    """dlogits, made in the forward pass, times dloss.

    dloss () -> dlogits (B, T, V)
    """
    (dlogits,) = cache
    if dloss != 1:
        rows = dlogits.reshape(-1, dlogits.shape[-1])
        factor = rows.dtype.type(dloss)
        team.split(lambda block: np.multiply(rows[block], factor, out=rows[block]), *rows.shape)
    return dlogits
