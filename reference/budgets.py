"""How far from the exact tensors may an honest program be that computes in fp32, tf32, bf16 or fp16?

Found by running the very graph in emulated precision. Parameters and every tensor are rounded to the format
where they are stored; factors of a product to the format of the multiplier; sums run in float32, so do the
insides of an operation. A layernorm's mean and rstd, the losses and what softmax hands to the loss stay in
float32, as in the programs that train in 16 bits.

    mode   stored     factors    sums
    fp64   float64    float64    float64
    fp32   float32    float32    float32
    tf32   float32    tf32       float32
    bf16   bf16       bf16       float32
    fp16   fp16       fp16       float32, and gradients are not scaled up

A single run gives a single error, lucky or not. So R runs are made, each with its own stochastic rounding and
its own order of every sum; their errors e_1 ... e_R are R draws from a distribution whose spread is an upper
estimate of that of rounding to nearest (see rounding_modes.py). One more run rounds to nearest and says what
to *expect*. The bounds follow from the R draws:

    S = mean of |e_r|^2           an estimate of the trace of the errors' covariance
    n = S^2 / mean of (e_r . e_s)^2 over pairs    how many independent errors a tensor has, in effect: 1 where
                                  one error moves all entries together (the loss), N where each goes its way

Of errors that are normal with n degrees of freedom, |e|^2 exceeds c S with a probability of at most p, where

    (R + 1) log((R + c) / (R + 1)) - log(c) = (2 / n) log(1 / p)

That is Chernoff's bound, min over t of E exp(t |e|^2 - t c S), worked out for two chi-squares with n and R n
degrees. The largest of N entries exceeds z max_i rms_i, where rms_i is the root mean square of entry i over
the runs, with a probability of at most p, where z = sqrt(2 log(2 N / p)). With p = 1e-6 for each tensor:

    norm bound = 2 sqrt(c S)          largest bound = 2 z max_i rms_i

The 2 is that of scalar/rounding.py: another program may round twice where this one rounds once. No bound is
smaller than two roundings of the tensor itself.
"""

import math
from typing import NamedTuple

import numpy as np

from reference.llmc import Exact, run
from reference.rounding_modes import FORMATS, nearest, stochastic

SURE = 1e-6  # the probability that an honest tensor is called wrong
RUNS = 16
SKETCH = 1024  # numbers of an error's random projection, from which e_r . e_s is taken


class Mode(NamedTuple):
    """stored: the format of tensors; factors: of what a matrix product multiplies; sums: a NumPy type."""

    stored: str
    factors: str
    sums: type


MODES = {
    "fp64": Mode("float64", "float64", np.float64),
    "fp32": Mode("float32", "float32", np.float32),
    "tf32": Mode("float32", "tf32", np.float32),
    "bf16": Mode("bf16", "bf16", np.float32),
    "fp16": Mode("fp16", "fp16", np.float32),
}


class Budget(NamedTuple):
    """A tensor's error, as a norm: expected, and at most; and its largest entry, at most."""

    expected: float
    norm: float
    largest: float


class Emulated(Exact):
    """An arithmetic of few bits. With an rng: stochastic rounding, sums in any order; without: to nearest."""

    def __init__(self, mode, rng=None):
        self.mode, self.rng = MODES[mode], rng

    def rounded(self, x, name):
        return nearest(x, name) if self.rng is None else stochastic(x, name, self.rng)

    def order(self, n):
        """The order in which n terms are added."""
        return np.arange(n) if self.rng is None else self.rng.permutation(n)

    def matmul(self, x, y):
        order = self.order(x.shape[-1])
        if self.mode.factors != self.mode.stored:
            x, y = self.rounded(x, self.mode.factors), self.rounded(y, self.mode.factors)
        return x[..., order] @ y[..., order, :]

    def total(self, x, axis):
        # along the first axis NumPy adds one term after the other; along the last it would add in pairs
        terms = np.moveaxis(x, axis, 0)[self.order(x.shape[axis])]
        return np.moveaxis(np.add.reduce(terms, axis=0, keepdims=True), 0, axis)

    def load(self, key, parameter):
        return self.rounded(parameter.astype(self.mode.sums), self.mode.stored)

    def keep(self, key, tensor):
        return self.rounded(np.asarray(tensor, self.mode.sums), stored_as(key[0], self.mode.stored))


def stored_as(name, stored):
    """The format of one tensor: sums over rows stay in float32."""
    wide = name.endswith(("_mean", "_rstd")) or name in ("losses", "loss", "dlosses", "probs")
    return "float32" if wide and FORMATS[stored].dropped > 0 else stored


def budgets(inputs, mode, exact=None, table=None, runs=RUNS, only=None, view=lambda key, x: x, watch=iter):
    """{key: Budget} for every tensor of a pass, or for those that `only` holds.

    exact: the tensors in float64, where they are known; table: the operations, as for llmc.run; view: what of
    a tensor is compared; watch: wraps the runs, to show how far it is.
    """
    options = {} if table is None else {"table": table}
    exact = run(inputs, **options) if exact is None else exact
    exact = {key: view(key, tensor) for key, tensor in exact.items()}
    ledgers = {key: Ledger(tensor, runs) for key, tensor in exact.items() if only is None or key in only}
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        expected = errors(run(inputs, Emulated(mode), **options), exact, ledgers, view)
        norms = {key: float(np.linalg.norm(error)) for key, error in expected}
        for i in watch(range(runs)):
            arithmetic = Emulated(mode, np.random.default_rng([i, 1]))
            for key, error in errors(run(inputs, arithmetic, **options), exact, ledgers, view):
                ledgers[key].enter(error, i)
        return {key: ledger.budget(norms[key], unit_of(key, mode)) for key, ledger in ledgers.items()}


def errors(tensors, exact, keys, view):
    """(key, error) of every tensor of a run, which is used up. Where both are NaN there is no error."""
    for key in keys:
        error = view(key, tensors.pop(key).astype(np.float64)) - exact[key]
        yield key, np.where(np.isnan(exact[key]), 0, error) if np.isnan(exact[key]).any() else error


def unit_of(key, mode):
    """(unit roundoff, smallest number) of the format that a tensor is stored in."""
    stored = FORMATS[stored_as(key[0], MODES[mode].stored)]
    return stored.unit, stored.smallest * stored.unit


class Ledger:
    """The errors of one tensor over all runs, as far as bounds need them."""

    def __init__(self, exact, runs):
        known = np.where(np.isnan(exact), 0, exact) if np.isnan(exact).any() else exact
        self.size, self.largest_value, self.norm = exact.size, np.abs(known).max(), np.linalg.norm(known)
        self.scale = float(self.largest_value) or 1.0  # so that no square of an entry underflows
        self.squares, self.entries = np.zeros(runs), np.zeros(exact.shape, np.float32)
        self.sketches = np.zeros((runs, SKETCH))

    def enter(self, error, place):
        """Note one run's error: its norm, its square entry by entry, its projection by random signs."""
        self.squares[place] = np.vdot(error, error)
        self.entries += np.square(error / self.scale).astype(np.float32)
        signs = np.random.default_rng(0).integers(0, 2, self.size, np.int8) * 2 - 1
        signed = np.zeros(-(-self.size // SKETCH) * SKETCH)
        signed[: self.size] = error.ravel() * signs
        self.sketches[place] = signed.reshape(-1, SKETCH).sum(axis=0)

    def budget(self, expected, unit):
        """The Budget; infinite where a run left the format's range."""
        runs, (u, smallest) = len(self.squares), unit
        mean = self.squares.mean()
        if not np.isfinite(mean):
            return Budget(math.inf, math.inf, math.inf)
        rms = math.sqrt(self.entries.max() / runs) * self.scale
        z = math.sqrt(2 * math.log(2 * self.size / SURE))
        floor = 2 * u * self.norm + smallest * math.sqrt(self.size)
        norm = 2 * math.sqrt(excess(self.degrees(mean), runs) * mean)
        return Budget(
            expected,
            max(norm, float(floor)),
            max(min(2 * z * rms, norm), 2 * u * float(self.largest_value) + smallest),
        )

    def degrees(self, mean):
        """n, from every pair of runs; at least 1."""
        products = (self.sketches @ self.sketches.T)[np.triu_indices(len(self.squares), 1)]
        together = np.mean(products * products)
        return max(1.0, mean * mean / together) if together > 0 else 1.0


def excess(n, runs, probability=SURE):
    """c: see above. Found by halving, for the left side grows with c."""
    target = 2 / n * math.log(1 / probability)
    low, high = 1.0, 2.0
    while side(high, runs) < target:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if side(middle, runs) < target else (low, middle)
    return high


def side(c, runs):
    """(R + 1) log((R + c) / (R + 1)) - log(c)"""
    return (runs + 1) * math.log((runs + c) / (runs + 1)) - math.log(c)
