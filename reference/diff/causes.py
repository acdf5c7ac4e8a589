"""The cause of a difference, found by planting the faults of the catalogue and looking which explains it.

A fault is named only if, with it planted, the first failing tensor and all before it are within the budget of
the model that has the fault. Among several the one is named after which most tensors follow without another
failure. If one still fails later, the search goes on from there with the fault in place, so that two mistakes
at once are both named; and if no single fault explains a tensor, pairs are tried.
"""

import contextlib
import itertools
from typing import NamedTuple

import numpy as np

from reference.budgets import budgets
from reference.diff.faults import CHAINED, catalogue, table_of
from reference.diff.walk import walk, without_common_nan
from reference.llmc import Exact, run
from reference.llmc.names import layered

MOST_FAULTS = 4  # explained one after the other, before a program counts as too different
MOST_PAIRED = 24  # faults that are tried in pairs
BEST = 6  # candidates whose budgets are computed
CLOSER = 0.5  # a candidate must bring MINE closer, by half at least


class Verdict(NamedTuple):
    """The faults that are planted, each with the layers it is in (None: all); rows of the walk with them.

    unexplained: the first key that still fails. projection: where no tensor fails, and the fault was found by
    a probe, (x, what it had to exceed). unseen: where nothing was found, (fault, why it would not have been).
    """

    planted: list
    rows: list
    unexplained: tuple | None
    projection: tuple | None = None
    unseen: tuple = ()


class Reached(Exception):
    """A run has come to the tensor that was asked for."""


class Until(Exact):
    """Exact, and stops behind a key. tensors: those so far."""

    def __init__(self, key):
        self.key, self.tensors = key, {}

    def keep(self, key, tensor):
        self.tensors[key] = tensor
        if key == self.key:
            raise Reached
        return tensor


def explain(inputs, found, rows, mode, runs, order):
    """The Verdict on MINE, whose walk against the faultless model gave rows. order: all keys, in turn."""
    planted = []
    for _ in range(MOST_FAULTS):
        failing = first_failing(rows)
        if failing is None:
            return Verdict(planted, rows, None)
        best = search(inputs, found, planted, failing, rows, mode, runs, order)
        if best is None:
            return Verdict(planted, rows, failing.key)
        planted, rows = best
    failing = first_failing(rows)
    return Verdict(planted, rows, failing.key if failing else None)


def first_failing(rows):
    """The first Row beyond its budget, or None."""
    return next((row for row in rows if not row.passed), None)


def search(inputs, found, planted, failing, rows, mode, runs, order):
    """(planted with one or two faults more, the walk with them) for what explains most, or None."""
    before = {row.key for row in rows[: rows.index(failing)]}
    layer = failing.key[1]
    singles = plausible(inputs, failing.key, before, order, [] if layer is None else [layer])
    choice = best_of(inputs, found, planted, [[fault] for fault in singles], failing, mode, runs)
    if choice is None and layer is None:  # of the loss alone, any layer may be the one
        every = plausible(inputs, failing.key, before, order, range(inputs.sizes.L), whole=False)
        choice = best_of(inputs, found, planted, [[fault] for fault in every], failing, mode, runs)
    if choice is None and len(singles) <= MOST_PAIRED:
        pairs = [list(pair) for pair in itertools.combinations(singles, 2) if not clash(*pair)]
        choice = best_of(inputs, found, planted, pairs, failing, mode, runs)
    return choice


def clash(one, other):
    """Whether two faults replace the same operation, so that one would hide the other."""
    return bool((one[0].changes.keys() & other[0].changes.keys()) - set(CHAINED))


def plausible(inputs, key, before, order, layers, whole=True):
    """(fault, layers) that could first show at this key, and not at one that passed.

    layers: each to try alone; whole: whether to try all together.
    """
    candidates = []
    for fault in catalogue(inputs.sizes, inputs.targets):
        several = inputs.sizes.L > 1 and any(layered(name) for name in fault.shows_in)
        scopes = [None] * whole + [(layer,) for layer in layers] * several
        for scope in scopes:
            first = next(place for place in order if touches(fault, scope, place))
            passed = any(touches(fault, scope, place) for place in before)
            if order.index(first) <= order.index(key) and (key[0] in fault.shows_in or not passed):
                candidates.append((fault, scope))
    return candidates


def touches(fault, layers, key):
    """Whether a fault that is planted in these layers can show first in this tensor."""
    name, layer = key
    return name in fault.shows_in and (layers is None or layer is None or layer in layers)


def best_of(inputs, found, planted, additions, failing, mode, runs):
    """Of several additions, the one that explains the failing tensor and most that follow."""
    now, *gaps = (gap(inputs, found, planted + addition, failing.key) for addition in ([], *additions))
    near = sorted((far, place) for place, far in enumerate(gaps) if far < CLOSER * now)
    explained = []
    for _, place in near[:BEST]:
        rows = walk_with(inputs, found, planted + additions[place], mode, runs)
        reach = next((at for at, row in enumerate(rows) if not row.passed), len(rows))
        at = [row.key for row in rows].index(failing.key)
        if reach > at and rows[at].verdict == "within":  # an infinite budget would explain anything
            explained.append((-reach, place, rows))
        if reach == len(rows):
            break
    if not explained:
        return None
    _, place, rows = min(explained, key=lambda entry: entry[:2])
    return planted + additions[place], rows


def gap(inputs, found, planted, key):
    """How far MINE's tensor is from that of the model with these faults; infinite where one has no value."""
    mine = seen_only(inputs, planted, key, found[key])
    mine, tensor = without_common_nan(mine.array, tensor_with(inputs, planted, key))
    far = float(np.linalg.norm(mine - tensor))
    return far if np.isfinite(far) else np.inf


def seen_only(inputs, planted, key, found):
    """MINE's datt where the faulty model looks: elsewhere some programs have its gradient, some have 0."""
    if key[0] != "datt":
        return found
    seen = table_of(planted)(key[1]).attention_seen(inputs.sizes.T)
    return found._replace(stored=np.where(seen, found.array, 0))


def tensor_with(inputs, planted, key):
    """One tensor of the model with these faults, computed no further than it."""
    arithmetic = Until(key)
    with np.errstate(all="ignore"), contextlib.suppress(Reached):
        run(inputs, arithmetic, table_of(planted))
    return canonical(key, arithmetic.tensors[key])


def canonical(key, tensor):
    """What is compared of a tensor: of scores, only what is seen."""
    return np.tril(tensor) if key[0] in ("preatt", "datt", "dpreatt") else tensor


def walk_with(inputs, found, planted, mode, runs):
    """The walk against the model with these faults, and within its budgets."""
    with np.errstate(all="ignore"):
        table = table_of(planted)
        exact = {key: canonical(key, tensor) for key, tensor in run(inputs, table=table).items()}
        allowed = budgets(inputs, mode, exact, table, runs, found, canonical)
    found = {key: seen_only(inputs, planted, key, mine) for key, mine in found.items()}
    return walk(found, exact, allowed, mode)
