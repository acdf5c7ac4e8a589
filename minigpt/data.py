"""PAGE 2. From long rows of token ids to batches of (tokens, targets)."""

import functools
from bisect import bisect_right
from itertools import accumulate

import numpy as np

from minigpt.ops.cross_entropy import IGNORED
from minigpt.shuffle import key_of, shuffled


def batch(shards, step, part, *, seed, context, batch_size, rows_per_step, order="shuffled"):
    """Part number `part` of a step's rows; a pure function of its arguments, so a resumed run needs no state.

    Row r of a training run, counted from 0 through all steps, is one window of one shard: every epoch visits
    each window once, in an order of its own. Nothing else enters, so a run reads the same rows however they
    are dealt out to parts, or to machines. Targets are the tokens one place later.

    shards: rows of ids, of any lengths.

    shards (...) -> tokens (B, T), targets (B, T)
    """
    first = step * rows_per_step + part * batch_size
    counts = tuple(window_count(len(ids), context) for ids in shards)
    windows = [window_of_row(row, counts, seed, order) for row in range(first, first + batch_size)]
    rows = np.stack([window_ids(shards[shard], window, context) for shard, window in windows])  # (B, T + 1)
    return rows[:, :-1], rows[:, 1:]


def window_count(n_ids, context):
    """How many windows of context + 1 tokens, each beginning on the last token of the one before, fit."""
    return max(0, n_ids - 1) // context


def window_ids(ids, window, context):
    """One window's tokens, the last of which is a target alone."""
    start = window * context
    return ids[start : start + context + 1].astype(np.int64)  # (T + 1)


def window_of_row(row, counts, seed, order):
    """Which (shard, window) a row reads, if counts says how many windows each shard has.

    Epoch by epoch, shards follow one another, and windows within a shard.
    """
    epoch, place = divmod(row, sum(counts))
    turns, ends = turns_of_shards(counts, seed, epoch, order)
    turn = bisect_right(ends, place)
    shard = turns[turn]
    place -= ends[turn] - counts[shard]
    return shard, ORDERS[order](place, counts[shard], key_of(seed, epoch, shard))


@functools.lru_cache(maxsize=2)  # a step may end one epoch and begin the next
def turns_of_shards(counts, seed, epoch, order):
    """The shards in an epoch's order, and after how many windows each one's turn ends."""
    turns = [ORDERS[order](turn, len(counts), key_of(seed, epoch)) for turn in range(len(counts))]
    return turns, list(accumulate(counts[shard] for shard in turns))


def sequential(place, n, key):
    """The order that is none: as the text stands."""
    return place


ORDERS = {"shuffled": shuffled, "sequential": sequential}


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
