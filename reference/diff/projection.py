"""Faults that are smaller than the format rounds, found by the pattern of the error and not by its size.

Where MINE holds what goes into an operation and what comes out of it, the operation is computed anew from
MINE's own input, right and wrong, and the errors of everything before it do not matter. Rounding points
everywhere, a fault along u, the difference that it makes. So the error is projected on u:

    u = wrong(in) - right(in)
    x = <out - right(in), u> / <u, u>             1: MINE has the fault; 0: it has not
    s = sqrt(sum of (r_i u_i)^2) / <u, u>         where r = out - right(in) - x u is what x leaves unexplained

Before that, every number is divided by what rounding costs it: a unit roundoff of the output, and 8 of
float32 for what is lost inside (scale). s is the standard error of x as a regression's slope, from the
scatter of the errors themselves, whatever is rounded and where (White 1980, Econometrica 48(4)). Rounding
alone keeps |x| within 2 z s, where z = sqrt(2 log(2 k / p)), k projections are made, p = 1e-6 and the 2 are
those of reference/budgets.py; to this comes what is lost inside, if it always points along u. A fault is
there where |x| exceeds all that and is nearer to 1 than to 0. So erf-GELU, which in bf16 is far below the
rounding of the large numbers, is seen in the small ones, left of 0, where it is a tenth of the value.
"""

import math
from typing import NamedTuple

import numpy as np

from reference.budgets import MODES, SURE, stored_as
from reference.diff.walk import DIGITS
from reference.llmc import EXACT, ops
from reference.rounding_modes import FORMATS

FEWEST = 50  # numbers from which a scatter can be estimated
HALF = 0.5  # between none of a fault and all of it
INSIDE = 8 * FORMATS["float32"].unit


class Sample(NamedTuple):
    """An operation's error, u, what is lost inside, in units of rounding; effect: u's norm and maximum."""

    error: np.ndarray
    u: np.ndarray
    inside: np.ndarray
    effect: tuple


class Projection(NamedTuple):
    """x, and what |x| has to exceed."""

    x: float
    bound: float

    def shows(self):
        """Whether the fault is there."""
        return abs(self.x) > self.bound and abs(self.x - 1) < HALF

    def would_show(self):
        """Whether x would tell the fault from none."""
        return self.bound < HALF


def sample(operation, fault, key, given, found, mode):
    """A Sample of the operation between what is `given` in MINE and what comes out under a key."""
    arrays, out = [found[part].array for part in given], found[key].array
    right, wrong = applied(getattr(ops, operation), arrays), applied(fault.changes[operation], arrays)
    inside = INSIDE * (np.abs(right) + (np.abs(arrays[0]) if arrays[0].shape == out.shape else 0))
    unit, least = cost_of_output(key, found, mode)
    scale = unit * np.abs(right) + inside + least
    u = wrong - right
    effect = float(np.linalg.norm(u)), float(np.abs(u).max())
    return Sample(*(part.ravel() for part in ((out - right) / scale, u / scale, inside / scale)), effect)


def project(samples, count):
    """The Projection of some samples together, one of `count` that are made."""
    if not samples:
        return Projection(0.0, math.inf)
    error, u, inside = (np.concatenate(parts) for parts in [*zip(*samples, strict=True)][:3])
    total = float(u @ u)
    if not total or not np.isfinite(error).all() or u.size < FEWEST:
        return Projection(0.0, math.inf)
    x = float(error @ u) / total
    s = float(np.linalg.norm((error - x * u) * u)) / total
    z = math.sqrt(2 * math.log(2 * count / SURE))
    return Projection(x, 2 * z * s + float(inside @ np.abs(u)) / total)


def cost_of_output(key, found, mode):
    """(unit roundoff, error below the smallest normal number), by the mode's format or by MINE's file."""
    stored, file = FORMATS[stored_as(key[0], MODES[mode].stored)], found[key].dtype.name
    unit, smallest = max(stored.unit, 2.0 ** -DIGITS.get(file, 53)), stored.smallest
    return unit, unit * max(smallest, FORMATS["fp16"].smallest if file == "float16" else 0.0)


def applied(operation, arrays):
    """An operation on its inputs; a layernorm's, which has a mean among them, must be told how sums round."""
    takes_mean = arrays[-1].ndim < arrays[0].ndim
    with np.errstate(all="ignore"):
        return operation(EXACT, *arrays) if takes_mean else operation(*arrays)
