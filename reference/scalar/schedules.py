"""The learning rate of a step, counted from 0. The warmup, in all four, is llm.c's.

    step < warmup      lr * (step + 1) / warmup
    after it           lr goes down to final * lr, which it would reach at step `steps`
"""

import math

from reference.scalar.rounding import cos, sqrt


def cosine(step, lr, warmup, steps, final):
    """Half a cosine wave from the end of the warmup to the end of the run."""
    if step < warmup:
        return lr * (step + 1) / warmup
    done = share(step, warmup, steps)
    return lr * final + (lr - lr * final) * (1 + cos(math.pi * done)) / 2


def linear(step, lr, warmup, steps, final):
    """A straight line over the same steps."""
    if step < warmup:
        return lr * (step + 1) / warmup
    done = share(step, warmup, steps)
    return lr - done * (lr - lr * final)


def constant(step, lr, warmup, steps, final):
    """lr to the end."""
    return lr * (step + 1) / warmup if step < warmup else lr


def wsd(step, lr, warmup, steps, final):
    """lr up to the last fifth of the run, rounded down, and there down by the square root of the way done."""
    if step < warmup:
        return lr * (step + 1) / warmup
    done = share(step, 4 * steps // 5, steps)
    return lr * final + (lr - lr * final) * (1 - sqrt(done))


def share(step, start, stop):
    """How much of the way from start to stop is done: 0 up to start, 1 from stop on."""
    if step < stop:
        return (step - start) / (stop - start) if step > start else 0.0
    return 1.0
