"""PAGE 2. From a long row of token ids to batches of (tokens, targets)."""

import functools

import numpy as np

from minigpt.errors import DataError
from minigpt.ops.cross_entropy import IGNORED


def batch(ids, step, part, *, seed, context, batch_size, rows_per_step):
    """Part number `part` of a step's rows; a pure function of its arguments, so a resumed run needs no state.

    Row r of a training run, counted from 0 through all steps, is one window of the text: every epoch
    visits each window once, in an order of its own. Targets are the tokens one place later.

    ids (M) -> tokens (B, T), targets (B, T)
    """
    first = step * rows_per_step + part * batch_size
    count = window_count(len(ids), context)
    starts = [context * window_of_row(row, count, seed) for row in range(first, first + batch_size)]
    windows = np.stack([ids[start : start + context + 1] for start in starts]).astype(np.int64)  # (B, T + 1)
    return windows[:, :-1], windows[:, 1:]


def window_of_row(row, count, seed):
    """Which of count windows a row reads: epoch by epoch, a new permutation of all."""
    epoch, place = divmod(row, count)
    return int(permutation(count, seed, epoch)[place])


@functools.lru_cache(maxsize=2)  # a step may end one epoch and begin the next
def permutation(count, seed, epoch):
    """The order of an epoch's windows."""
    return np.random.default_rng([seed, epoch]).permutation(count)


def window_count(n_ids, context):
    """How many windows of context + 1 tokens, each beginning on the last token of the one before, fit."""
    count = (n_ids - 1) // context
    if count < 1:
        raise DataError(
            f"training text: {n_ids} tokens, but one window needs context + 1 = {context + 1}; "
            f"give more text or a shorter --context"
        )
    return count


def ordered_windows(ids, context, every=1):
    """Windows side by side, every token but the first a target of exactly one: what validation reads.

    The last window is filled up with token 0 and ignored targets. every=n keeps each n-th window only.

    ids (M) -> tokens (B, T), targets (B, T)
    """
    rows = -(-(len(ids) - 1) // context)
    padded = np.zeros(rows * context + 1, np.int64)
    padded[: len(ids)] = ids
    tokens, targets = padded[:-1].reshape(rows, context), padded[1:].reshape(rows, context).copy()
    targets.reshape(-1)[len(ids) - 1 :] = IGNORED
    return tokens[::every], targets[::every]
