"""How far apart two results are, as one number a tensor."""

import math

import numpy as np


def distance(got, want):
    """||got - want|| / ||want||: 0 where both are all zeros, infinite where only want is, or shapes differ.

    Not finite counts as infinitely far, so that no NaN passes for close.
    """
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    if got.shape != want.shape or not np.isfinite(got).all():
        return math.inf
    difference, size = np.linalg.norm(got - want), np.linalg.norm(want)
    if size == 0:  # of all zeros, or of numbers whose squares are
        return 0.0 if (got == want).all() else math.inf
    return float(difference / size)


def distances(got, want):
    """The distance of every named tensor; a name on one side only is an error."""
    if got.keys() != want.keys():
        raise KeyError(f"names on one side only: {sorted(got.keys() ^ want.keys())}")
    return {name: distance(got[name], want[name]) for name in want}
