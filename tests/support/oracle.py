"""One table of operations against the scalar programs of reference/, within the bound that these derive."""

from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from minigpt.kernels.gradient import Gradient
from reference import scalar
from reference.scalar.rounding import DOUBLE, SINGLE, bounds, exactly, values

PRECISION = {"float64": DOUBLE, "float32": SINGLE}


class Subject(NamedTuple):
    """What is compared: a table, and the number type that it works in."""

    table: SimpleNamespace
    dtype: str


def normal(rng, dtype, scale, *shape):
    """An array of normal numbers."""
    return (scale * rng.normal(size=shape)).astype(dtype)


def loops(argument):
    """What a scalar program takes for an array: nested lists, of exact numbers where it holds floats."""
    if not isinstance(argument, np.ndarray):
        return argument
    return exactly(argument.tolist()) if argument.dtype.kind == "f" else argument.tolist()


def assert_close(got, want, dtype):
    """Every entry within its bound; return the largest share of the bound that was used."""
    assert got.dtype == dtype
    assert got.shape == np.shape(values(want))
    share = np.abs(got.astype(float) - values(want)) / bounds(want, PRECISION[dtype])
    assert (share <= 1).all(), f"{share.max()} times the bound"
    return float(share.max())


def check(name, subject, rng, *arguments):
    """A pair of operations against its scalar twin; a random gradient comes in at the output.

    Return the largest share of a bound that was used.
    """
    table, dtype = subject
    twins = [loops(argument) for argument in arguments]
    y, cache = getattr(table, f"{name}_forward")(*copied(arguments))
    shares = [assert_close(y, getattr(scalar, f"{name}_forward")(*twins), dtype)]

    dy = np.asarray(rng.normal(size=y.shape)).astype(dtype)
    grads = getattr(table, f"{name}_backward")(*copied([dy]), cache)
    wants = getattr(scalar, f"{name}_backward")(loops(dy), *twins)
    grads, wants = (grads, wants) if isinstance(grads, tuple) else ((grads,), (wants,))
    for got, want in zip(grads, wants, strict=True):
        array = dense(got, np.shape(values(want)), dtype, add=bool(rng.integers(2)))
        shares.append(assert_close(array, want, dtype))
    return max(shares)


def copied(arguments):
    """The arguments, in arrays that kernels may write over."""
    return [a.copy() if isinstance(a, np.ndarray) else a for a in arguments]


def dense(gradient, shape, dtype, add=False):
    """The gradient as an array; one that is still to be computed is written over NaNs, or added to zeros."""
    if not isinstance(gradient, Gradient):
        return gradient
    array = np.full(shape, 0 if add else np.nan, dtype)
    gradient.write(array, add)
    return array
