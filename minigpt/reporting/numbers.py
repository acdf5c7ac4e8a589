"""Numbers as JSON for the page: short, and null where there is none."""

import math


def short(values, digits=5):
    """Numbers of so many digits; what is not finite becomes None."""
    return [one(value, digits) for value in values]


def one(value, digits=5):
    """1234.5678 -> 1234.6, 3.0 -> 3, nan -> None."""
    value = float(value)
    if not math.isfinite(value):
        return None
    rounded = float(f"{value:.{digits}g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 2**53 else rounded


def counted(n, one, many=None):
    """1 step, 20 steps; many: the plural, if it is not one with an s."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def spread(n, most):
    """At most `most` of n places, evenly, the first and the last among them.

    n=10, most=4 -> [0, 3, 6, 9]
    """
    if n <= most:
        return list(range(n))
    return [round(i * (n - 1) / (most - 1)) for i in range(most)]
