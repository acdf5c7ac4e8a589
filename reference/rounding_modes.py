"""Number formats by their bits, and two ways to round float32 to them.

    format   exponent bits   fraction bits   unit roundoff u   smallest normal
    float32        8              23            2^-24              2^-126
    tf32           8              10            2^-11              2^-126
    bf16           8               7            2^-8               2^-126
    fp16           5              10            2^-11              2^-14

tf32, bf16 and float32 share their exponents, so rounding is dropping bits: 13, 16 or none. fp16 drops 13 too,
until it runs out of exponents, at both ends.

`nearest` rounds to nearest, ties to even: half of what is dropped is added before it is cut off, a little
less where the last bit that stays is 0. `stochastic` rounds up or down by chance, up with the probability of
the fraction that is dropped, so that the mean is right: a uniform number is added before cutting. At the
fraction f its mean squared error is f (1 - f), in units of the last place squared, while nearest makes
min(f, 1 - f)^2, which is never more: errors of stochastic rounding are an upper estimate of nearest's,
without its luck (Connolly, Higham, Mary 2021, SIAM J. Sci. Comput. 43(1)).
"""

from typing import NamedTuple

import numpy as np


class Format(NamedTuple):
    """dropped: how many of float32's 23 fraction bits; smallest: normal number; largest: finite number."""

    name: str
    dropped: int
    smallest: float
    largest: float

    @property
    def unit(self):
        """u: the largest relative error of rounding a normal number."""
        return 2.0 ** (self.dropped - 24)


def wide(dropped):
    """The largest number with float32's exponents and so many fraction bits fewer."""
    return 2.0**128 - 2.0 ** (104 + dropped)


FORMATS = {
    "float64": Format("float64", -29, 2.0**-1022, np.finfo(np.float64).max),
    "float32": Format("float32", 0, 2.0**-126, wide(0)),
    "tf32": Format("tf32", 13, 2.0**-126, wide(13)),
    "bf16": Format("bf16", 16, 2.0**-126, wide(16)),
    "fp16": Format("fp16", 13, 2.0**-14, 65504.0),
}


def nearest(x, name):
    """x (...) in float32 -> rounded (...), still in float32; beyond the largest: infinity"""
    f = FORMATS[name]
    if f.dropped <= 0:
        return x
    bits = np.asarray(x, np.float32).view(np.uint32)
    even = (bits >> f.dropped) & 1
    return cut(x, bits, (1 << (f.dropped - 1)) - 1 + even, f, lambda small: np.rint(small))


def stochastic(x, name, rng):
    """x (...) in float32 -> rounded (...), still in float32

    Float32 itself has no longer format to drop bits from, for the arithmetic is float32. One number in six
    moves to a neighbour instead, which gives the mean squared error that stochastic rounding has when all
    fractions are equally likely: 1/6.
    """
    f = FORMATS[name]
    if f.dropped <= 0:
        return jostled(x, rng)
    bits = np.asarray(x, np.float32).view(np.uint32)
    chance = rng.integers(0, 1 << f.dropped, bits.shape, np.uint32)
    return cut(x, bits, chance, f, lambda small: np.floor(small + rng.random(small.shape)))


def cut(x, bits, added, f, whole):
    """Add to the bits, drop the last ones; below the smallest normal number `whole` multiples of one step."""
    kept, finite = ~np.uint32((1 << f.dropped) - 1), np.isfinite(x)
    rounded = np.asarray((bits + added.astype(np.uint32)) & kept).view(np.float32)
    if f.smallest > FORMATS["float32"].smallest:
        step, magnitude = f.smallest * 2 * f.unit, np.where(finite, np.abs(x), f.largest)
        small = magnitude < f.smallest
        rounded = np.where(small, np.copysign(whole(magnitude.astype(np.float64) / step) * step, x), rounded)
    rounded = np.where(np.abs(rounded) > f.largest, np.copysign(np.float32(np.inf), x), rounded)
    return np.where(finite, rounded, x).astype(np.float32)


def jostled(x, rng):
    """x with one entry in twelve one place up, one in twelve one place down; 0 stays, as it is no result."""
    dice = rng.random(np.shape(x), np.float32)
    step = (dice > 11 / 12).astype(np.int8) - (dice < 1 / 12)  # of one byte: there may be 39 million
    return np.where(np.isfinite(x) & (x != 0), x + step * np.spacing(x), x)
