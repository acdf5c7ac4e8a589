"""diff, from files to a verdict."""

import math
from pathlib import Path

import numpy as np
from tqdm import tqdm

from reference.bad_input import BadInput
from reference.budgets import RUNS, Budget, budgets, unit_of
from reference.diff.arrange import Arranged, Found, listed
from reference.diff.causes import Verdict, canonical, explain, first_failing
from reference.diff.dumped import layers_of, read_inputs
from reference.diff.files import INPUTS, read_tensors
from reference.diff.probes import first_seen, looks, unseen
from reference.diff.report import EXIT_CODES, as_json, as_text, outcome
from reference.diff.walk import walk
from reference.llmc import run
from reference.llmc.names import AXES, PARAMETERS, label
from reference.memory import require


def compare(command):
    """(the report, the exit code) of a Diff."""
    ref = Path(command.ref)
    if not ref.exists():
        raise BadInput(f"{ref}: no such file or folder")
    mine = read_tensors(command.mine, command.shapes)
    if command.runs < 2:
        raise BadInput(f"--runs must be 2 or more: found {command.runs}")
    if command.tolerance is not None and not 0 <= command.tolerance < math.inf:
        raise BadInput(f"--tolerance must be a number from 0 on: found {command.tolerance}")
    if (ref / INPUTS).is_file():
        inputs = read_inputs(ref)
        require(memory_of_diff(inputs.sizes), f"a diff of {inputs.sizes.words()}")
        layers = layers_of(Path(command.mine), inputs.sizes)
        options = {"tolerance": command.tolerance, "causes": command.causes}
        rows, notes, verdict = examine(inputs, mine, command.dtype, command.runs, layers, **options)
    else:
        rows, notes, verdict = against_file(ref, mine, command)
    report = as_json if command.json else as_text
    return report(command, rows, notes, verdict), EXIT_CODES[outcome(rows, verdict)]


def memory_of_diff(sizes):
    """Bytes at the peak: REF in float64; MINE, the errors and a run in float32; and work on the largest."""
    parameters, largest = sizes.count(PARAMETERS), max(sizes.count([name]) for name in ("wte", "logits"))
    return 12 * parameters + 20 * (sizes.count(AXES) - parameters) + 32 * largest


def examine(inputs, mine, mode, runs=RUNS, layers=None, tolerance=None, causes=True):
    """(rows, notes, verdict) on arrays by name, against REF computed anew from its inputs, in float64."""
    exact = {key: canonical(key, tensor) for key, tensor in (inputs.params | run(inputs)).items()}
    if wild := next((key for key, tensor in exact.items() if not np.isfinite(tensor).all()), None):
        raise BadInput(f"REF: {label(wild)} is not finite, so nothing can be held against it")
    arranged = Arranged(mine, exact, inputs.sizes, layers or list(range(inputs.sizes.L)))
    computed = {key: found for key, found in arranged.found.items() if key not in inputs.params}
    if tolerance is None:
        tensors = {key: tensor for key, tensor in exact.items() if key not in inputs.params}
        allowed = budgets(inputs, mode, tensors, runs=runs, only=computed, watch=watcher("emulated runs"))
        allowed |= {key: rounding(key, exact[key], mode) for key in inputs.params}
    else:
        allowed = {key: tolerated(exact[key], tolerance) for key in exact}
    rows = walk(arranged.found, exact, allowed, mode)
    notes = [*arranged.notes, *missing(exact, arranged.found, inputs)]
    looked_for = causes and tolerance is None
    verdict = verdict_on(inputs, computed, exact, rows, allowed, mode, runs) if looked_for else None
    return rows, notes, verdict


def watcher(what):
    """A progress bar around work, on a terminal, if it takes long."""
    return lambda work: tqdm(work, desc=what, delay=2, disable=None)


def verdict_on(inputs, computed, exact, rows, allowed, mode, runs):
    """A Verdict; None where it is the weights that are wrong."""
    failing = first_failing(rows)
    if failing is not None and failing.key in computed:
        order = [key for key in exact if key not in inputs.params]
        return explain(inputs, computed, [row for row in rows if row.key in computed], mode, runs, order)
    if failing is not None:
        return None
    all_looks = looks(inputs, computed, mode)
    seen = first_seen(all_looks)
    if seen is None:
        return Verdict([], rows, None, None, unseen(all_looks, inputs, computed, exact, allowed))
    return Verdict([(seen.fault, seen.layers)], rows, None, tuple(seen.projection))


def against_file(ref, mine, command):
    """(rows, notes, None) with REF's tensors as they stand, by names and shapes of both sides."""
    if command.tolerance is None:
        raise BadInput(
            f"{ref}: holds no {INPUTS}, so no budget can be computed: give a folder of reference dump, "
            f"or say with --tolerance what error is allowed"
        )
    theirs = read_tensors(ref, command.shapes)
    common = [name for name in theirs if name in mine]
    if not common:
        raise BadInput(f"no tensor is on both sides: REF has {listed([*theirs])}, MINE has {listed([*mine])}")
    if wrong := next((name for name in common if theirs[name].shape != mine[name].shape), None):
        raise BadInput(f"{wrong}: REF has shape {theirs[wrong].shape}, MINE has {mine[wrong].shape}")
    found = {(n, None): Found(mine[n], "as it is", mine[n].dtype, n) for n in common}
    exact = {(name, None): theirs[name].astype(np.float64) for name in common}
    allowed = {key: tolerated(exact[key], command.tolerance) for key in exact}
    return walk(found, exact, allowed, command.dtype), [], None


def tolerated(tensor, tolerance):
    """The budget of a tolerance: a share of the norm."""
    return Budget(0.0, tolerance * float(np.linalg.norm(tensor)), float("inf"))


def rounding(key, parameter, mode):
    """The budget of a parameter: two roundings."""
    unit, smallest = unit_of(key, mode)
    size, largest = float(np.linalg.norm(parameter)), float(np.abs(parameter).max())
    return Budget(unit * size, 2 * unit * size + smallest, 2 * unit * largest + smallest)


def missing(exact, found, inputs):
    """A note on the tensors that MINE lacks, by name."""
    names = dict.fromkeys(name for name, layer in exact if (name, layer) not in found)
    names = [name for name in names if (name, None) not in inputs.params and (name, 0) not in inputs.params]
    return [f"not in MINE: {listed(names)}"] if names else []
