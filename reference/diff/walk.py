"""In graph order, each tensor of MINE against REF and its budget."""

import math
from typing import NamedTuple

import numpy as np

from reference.budgets import MODES, stored_as
from reference.llmc.names import AXES, axes_of
from reference.rounding_modes import FORMATS

FUSED = ("dprobs", *(f"d{ln}_{part}" for ln in ("ln1", "ln2", "lnf") for part in ("mean", "rstd")))
DIGITS = {"float64": 53, "float32": 24, "float16": 11, "bfloat16": 8}


class Row(NamedTuple):
    """One tensor: the largest error and the error's norm against REF's, in ulp of the format; and where.

    share: of the budget, by norm or by largest entry, whichever is more; 1 is the bound. verdict: "within",
    "differs", "not kept" (zeros where llm.c leaves them), "unchecked" (the budget would allow anything).
    """

    key: tuple
    shape: tuple
    largest: float
    relative: float
    ulp: float
    cosine: float
    share: float
    expected: float
    where: tuple
    values: tuple
    verdict: str

    @property
    def passed(self):
        return self.verdict != "differs"


def walk(found, exact, budgets, mode):
    """A Row for every key that both sides have, in REF's order."""
    return [row(key, found[key], exact[key], budgets[key], mode) for key in exact if key in found]


def row(key, mine, want, budget, mode):
    """Compare one tensor. Where a planted fault makes NaN, NaN is right, and nothing else is."""
    array, want = without_common_nan(mine.array, np.asarray(want))
    if key[0] in FUSED and not array.any():
        return Row(key, want.shape, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, (), (), "not kept")
    if not (np.isfinite(array).all() and np.isfinite(want).all()):
        return strange(key, array, want, budget)
    error = array - want
    size, norm = np.abs(error), float(np.linalg.norm(want))
    where = np.unravel_index(int(size.argmax()), want.shape) if want.ndim else ()
    cost_norm, cost_largest = cost_of_file(mine.dtype, key, mode, want)
    length = float(np.linalg.norm(error))
    allowed, allowed_largest = budget.norm + cost_norm, budget.largest + cost_largest
    shares = (ratio(length, allowed), ratio(float(size.max()), allowed_largest))
    return Row(
        key=key,
        shape=want.shape,
        largest=float(size.max()),
        relative=ratio(length, norm),
        ulp=ulps(float(size.max()), float(want[where]), stored_as(key[0], MODES[mode].stored)),
        cosine=cosine(array, want),
        share=max(shares),
        expected=ratio(budget.expected, norm),
        where=tuple(int(place) for place in where),
        values=(float(array[where]), float(want[where])),
        verdict=verdict(max(shares), (allowed, allowed_largest), (norm, float(np.abs(want).max()))),
    )


def verdict(share, allowed, sizes):
    """A budget is a check if it is finite, and a tensor of zeros, all wrong, would be beyond it."""
    if share > 1:
        return "differs"
    check = any(size > most for size, most in zip(sizes, allowed, strict=True)) or not any(sizes)
    return "within" if check and math.isfinite(allowed[0]) else "unchecked"


def without_common_nan(array, want):
    """Both, with zeros where both are NaN."""
    if not np.isnan(want).any():
        return array, want
    common = np.isnan(array) & np.isnan(want)
    return np.where(common, 0, array), np.where(common, 0, want)


def strange(key, array, want, budget):
    """The Row of a tensor with entries that are no numbers. expected: infinite if the format overflows."""
    where = tuple(int(place) for place in np.argwhere(~np.isfinite(array - want))[0])
    values = (float(array[where]), float(want[where]))
    expected = 0.0 if math.isfinite(budget.norm) else math.inf
    infinite = [math.inf] * 3  # largest error, relative, in ulp
    return Row(key, want.shape, *infinite, 0.0, math.inf, expected, where, values, "differs")


def ratio(part, whole):
    """part / whole; 0 of 0 is 0, more of 0 is infinite."""
    return float(part / whole) if whole else (math.inf if part else 0.0)


def cosine(x, y):
    """The cosine of the angle between two tensors; 1 where both are all zeros."""
    sizes = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(np.vdot(x, y)) / sizes if sizes else float(not x.any() and not y.any())


def ulps(error, value, stored):
    """An error in units in the last place of a value, as the format has them."""
    f = FORMATS[stored]
    exponent = math.floor(math.log2(max(abs(value), f.smallest)))
    return error / (2 * f.unit * 2.0**exponent)


def cost_of_file(dtype, key, mode, want):
    """What a file of fewer digits than the mode adds to the error, as norm and at most: half a last place."""
    digits = DIGITS.get(dtype.name, 53)
    if FORMATS[stored_as(key[0], MODES[mode].stored)].unit >= 2.0**-digits:
        return 0.0, 0.0
    rounding = np.abs(want) * 2.0**-digits
    if dtype.name == "float16":
        rounding = np.maximum(rounding, 2.0**-25)
    return float(np.linalg.norm(rounding)), float(rounding.max())


def describe_place(key, where):
    """Where in a tensor, by its letters: (1, 5, 3) of ln1 -> b=1 t=5 c=3."""
    letters = {"HD": "c", "KHD": "c", "I": "in", "O": "out"}
    axes = axes_of(key[0]).split() if key[0] in AXES else "ijklmn"[: len(where)]
    return " ".join(f"{letters.get(axis, axis.lower())}={at}" for axis, at in zip(axes, where, strict=True))
