"""Faults that are smaller than the format rounds, found by the pattern of the error and not by its size.

Where MINE holds what goes into an operation and what comes out of it, the operation is computed anew from
MINE's own input, right and wrong, and the errors of everything before it do not matter. Rounding points
everywhere, a fault along u, the difference that it makes. So the error is projected on u, in all layers:

    u = wrong(in) - right(in)
    x = <out - right(in), u> / <u, u>             1: MINE has the fault; 0: it has not
    s = sqrt(sum of (r_i u_i)^2) / <u, u>         where r = out - right(in) - x u is what x leaves unexplained

Before that, every number is divided by what rounding costs it: a unit roundoff of the output, and 8 of
float32 for what is lost inside (scale). s is the standard error of x as a regression's slope, from the
scatter of the errors themselves, whatever is rounded and where (White 1980, Econometrica 48(4)). Rounding
alone keeps |x| within 2 z s, where z = sqrt(2 log(2 / p)), p = 1e-6 and the 2 are those of
reference/budgets.py; to this comes what is lost inside, if it always points along u. A fault is named where
|x| exceeds all that and is nearer to 1 than to 0. So erf-GELU, which in bf16 is far below the rounding of the
large numbers, is seen in the small ones, left of 0, where it is a tenth of the value.
"""

import math
from typing import NamedTuple

import numpy as np

from reference.budgets import MODES, SURE, stored_as
from reference.diff.faults import catalogue
from reference.diff.walk import DIGITS
from reference.llmc import EXACT, ops
from reference.rounding_modes import FORMATS

FEWEST = 50  # numbers from which a scatter can be estimated
Z = math.sqrt(2 * math.log(2 / SURE))
INSIDE = 8 * FORMATS["float32"].unit


class Probe(NamedTuple):
    """An operation between two kept tensors: the names of what comes out, and the faults to look for."""

    operation: str
    outputs: tuple
    faults: tuple


PROBES = (
    Probe("gelu_forward", ("fch_gelu",), ("erf-gelu",)),
    Probe("gelu_backward", ("dfch",), ("erf-gelu-backward",)),
    Probe("layernorm_rstd", ("ln1_rstd", "ln2_rstd", "lnf_rstd"), ("eps-outside", "no-eps", "eps-1e-6")),
)


def inputs_of(output, n_layer):
    """The keys of what goes into the operation that a tensor comes out of."""
    name, layer = output
    if name == "fch_gelu":
        return [("fch", layer)]
    if name == "dfch":
        return [("dfch_gelu", layer), ("fch", layer)]
    if name == "ln2_rstd":
        return [("residual2", layer), ("ln2_mean", layer)]
    below = n_layer - 1 if layer is None else layer - 1
    stream = ("residual3", below) if below >= 0 else ("encoded", None)
    return [stream, (name.replace("_rstd", "_mean"), layer)]


def probe(inputs, found, mode):
    """(fault, x, what |x| had to exceed) of the first operation in which MINE has a faint fault, or None."""
    changes = {fault.name: fault for fault in catalogue(inputs.sizes, inputs.targets)}
    for operation, outputs, names in PROBES:
        places = [key for key in found if key[0] in outputs]
        places = [(key, inputs_of(key, inputs.sizes.L)) for key in places]
        places = [(key, given) for key, given in places if all(part in found for part in given)]
        faults = [changes[name] for name in names if places]
        measured = [(fault, *measure(operation, fault, places, found, mode)) for fault in faults]
        seen = [entry for entry in measured if abs(entry[1]) > entry[2] and 0.5 < entry[1] < 1.5]
        if seen:
            return min(seen, key=lambda entry: abs(entry[1] - 1))
    return None


def measure(operation, fault, places, found, mode):
    """(x, what |x| has to exceed) of one fault in one operation, all layers together."""
    errors, ways, insides = [], [], []
    for key, given in places:
        arrays, out = [found[part].array for part in given], found[key].array
        right = applied(getattr(ops, operation), arrays)
        inside = INSIDE * (np.abs(right) + (np.abs(arrays[0]) if arrays[0].shape == out.shape else 0))
        unit, least = cost_of_output(key, found, mode)
        scale = unit * np.abs(right) + inside + least
        errors.append(((out - right) / scale).ravel())
        ways.append(((applied(fault.changes[operation], arrays) - right) / scale).ravel())
        insides.append((inside / scale).ravel())
    error, u, inside = (np.concatenate(parts) for parts in (errors, ways, insides))
    total = float(u @ u)
    if not total or not np.isfinite(error).all() or u.size < FEWEST:
        return 0.0, math.inf
    x = float(error @ u) / total
    s = float(np.linalg.norm((error - x * u) * u)) / total
    return x, 2 * Z * s + float(inside @ np.abs(u)) / total


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
