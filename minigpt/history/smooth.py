"""Many noisy points as a line that can be read: means around each, or of stretches."""

import numpy as np

FEW = 100  # points that need no smoothing
SHARE, WIDEST = 50, 501  # the usual width: a fiftieth of the points, at most so many


def usual_width(n):
    """How many points to average around each of n: an odd number."""
    return 1 if n < FEW else min(WIDEST, n // SHARE) // 2 * 2 + 1


def mean_around(values, width):
    """The mean of the width values around each; what is not finite is left out.

    At the beginning, where losses fall steeply, it is of fewer, as many on either side.

    values (n) -> means (n)
    """
    n = len(values)
    at = np.arange(n)
    reach = np.minimum(width // 2, at)
    finite = np.isfinite(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(finite, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(finite)])
    first, end = at - reach, np.minimum(at + reach + 1, n)
    with np.errstate(invalid="ignore"):
        return (sums[end] - sums[first]) / (counts[end] - counts[first])


def stretches(n, most):
    """Where to cut n points into at most `most` stretches of almost equal length: (starts, ends)."""
    edges = np.linspace(0, n, min(n, most) + 1).astype(int)
    return edges[:-1], edges[1:]
