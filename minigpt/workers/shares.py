"""Which steps processes make sooner than threads, and each one's share of the batch."""

import os
import sys

import numpy as np

from minigpt.kernels.cpu.team import slices
from minigpt.ops.cross_entropy import IGNORED

# measured on two cores: where processes took 0.7 to 0.95 of the time of threads; see DECISIONS.md
MOST_PARAMETERS = 2**22  # each process reads the gradients of all
LEAST, MOST = 2**15, 2**19  # numbers in a worker's widest array (rows, 4C)


def may_pay(ops, world, params):
    """Whether steps of a model could be quicker by processes, if their batches suit."""
    return (
        hasattr(os, "memfd_create")  # Linux
        and bool(sys.executable)
        and not hasattr(sys, "frozen")  # a program that would start itself
        and isinstance(params.buffer, np.ndarray)
        and (ops.name, params.buffer.dtype) == ("fast", np.float32)
        and ops.threads > 1
        and (world.size, world.sharded) == (1, False)
        and params.buffer.size <= MOST_PARAMETERS
    )


def shares_of(batches, width, size):
    """Each worker's share of all batches, (P, 2, R, T), and what it weighs; none if it does not pay.

    The mean over a batch is that over its targets, so a share weighs as many as it has, in each part alike.

    batches: P pairs of tokens (B, T) and targets (B, T)
    """
    B, T = batches[0][0].shape
    size = min(size, B, B * T * 4 * width // LEAST)
    if size < 2 or B * T * 4 * width > MOST * size or any(tokens.shape != (B, T) for tokens, _ in batches):
        return [], []
    pairs = [[np.asarray(one, np.int64) for one in pair] for pair in batches]
    whole = np.array(pairs)  # (P, 2, B, T)
    shares = [whole[:, :, rows] for rows in slices(B, size)]
    counts = np.array([(share[:, 1] != IGNORED).sum(axis=(1, 2)) for share in shares])  # (size, P)
    weights = counts / counts.sum(axis=0)
    if (weights != weights[:, :1]).any() or not weights.all():
        return [], []
    return shares, weights[:, 0].tolist()
