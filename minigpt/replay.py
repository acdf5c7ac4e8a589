"""minigpt replay: run a rejected step again in float64, and say where its numbers are lost first."""

import json
import warnings

import ml_dtypes

from minigpt.errors import ConfigError, MinigptError
from minigpt.rejected import load
from minigpt.screen import printable, say
from minigpt.traced import traced
from minigpt.trainer import Trainer

RANGES = ("float16", "bfloat16", "float32", "float64")
FOUND, NOTHING = 0, 1  # exit codes; 2 is for a folder that cannot be used
SHOWN = 12  # rows of the table


def replay(command):
    """Print what happened; 0 if a place is named, 1 if in float64 nothing is lost."""
    if command.dtype not in (None, *RANGES):
        raise ConfigError(f"dtype must be one of {', '.join(RANGES)}, or left out: found {command.dtype!r}")
    rejected = load(command.folder)
    dtype = command.dtype or rejected.how["dtype"]
    limit = float(ml_dtypes.finfo(dtype).max)
    trace = traced(rejected.config, rejected.params, rejected.batches, limit)
    again = once_more(rejected)
    cause = trace.first
    if command.json:
        say(json.dumps(as_json(rejected, dtype, limit, trace, cause, again), indent=2) + "\n")
    else:
        for line in report(command.folder, rejected, dtype, limit, trace, cause, again):
            say(printable(line) + "\n")
    return NOTHING if cause is None else FOUND


def once_more(rejected):
    """What the step says when it is run as it was, or why it cannot be."""
    try:
        trainer = Trainer(rejected.config, rejected.params, **rejected.how, **vars(rejected.optimizer))
        trainer.state = trainer.state._replace(step=max(0, rejected.step - 1), updates=rejected.updates)
        with warnings.catch_warnings(action="ignore"):  # of overflows, which are what is looked for
            report = trainer.step_in_parts(rejected.batches)
    except MinigptError as reason:
        return f"cannot be: {reason}"
    return f"loss {report.loss:.6g}, gradient norm {report.norm:.6g}"


def report(folder, rejected, dtype, limit, trace, cause, again):
    """The lines for people."""
    B, T = rejected.batches[0][0].shape
    how = rejected.how
    way = [how["dtype"], how["ops"], how["device"]]
    if how["device"] == "cupy":
        way += [f"products {how['products']}", f"attention {how['attention']}"]
    yield f"step {rejected.step} of {folder}: {len(rejected.batches)} x {B} x {T} tokens"
    yield f"  then: {rejected.reason}"
    yield f"  run again as it was ({', '.join(way)}): {again}"
    yield f"  run again in float64 by the reference operations, against {dtype}'s range of {limit:.4g}:"
    yield ""
    if cause is None:
        yield f"  nothing is lost: in float64 all numbers are finite, and within {dtype}'s range."
        if dtype == how["dtype"]:
            yield "  What the run lost, it lost to rounding, a kernel or the machine: compare with a run"
            yield "  with --ops reference, or with --dtype float64."
    else:
        yield from causes(dtype, trace, cause)
    yield ""
    yield f"  {'pass':9}{'where':26}{'largest':>12}{'of range':>11}  at"
    for spot in rows(trace):
        share = abs(spot.found.value) / limit
        yield f"  {spot.stage:9}{spot.name:26}{spot.found.value:12.4g}{share:11.2g}  {place(spot)}"


def causes(dtype, trace, cause):
    """What is wrong first, and where it shows."""
    if cause is trace.parameter:
        yield f"  first: the parameter {cause.name}{list(cause.found.place)} is {cause.found.value:.6g}"
        yield f"  already before the step, which {dtype} has no room for: an earlier step put it there,"
        yield f"  or it was in the weights that the run began with. First used in the {cause.stage} pass."
    else:
        word = "not finite" if cause is trace.lost else f"beyond {dtype}'s range"
        yield f"  first: {cause.found.value:.6g} is {word}, in the {cause.stage} pass"
        yield f"  at {cause.name}, {place(cause)}"
        yield f"  in: {cause.found.line}"
    if trace.lost and cause is not trace.lost:
        lost = trace.lost
        yield f"  first result that is not finite in float64: {lost.stage} pass, {lost.name}, {place(lost)}"


def rows(trace):
    """The table's, in the order of the step: the first that are out of range, else the largest there are."""
    spots = list(trace.largest.values())
    if over := [spot for spot in spots if abs(spot.found.value) > trace.limit]:
        return over[:SHOWN]
    largest = {id(spot) for spot in sorted(spots, key=lambda spot: -abs(spot.found.value))[:SHOWN]}
    return [spot for spot in spots if id(spot) in largest]


def place(spot):
    """b 0, t 3, c 17."""
    part = [f"part {spot.part}"] if spot.part else []
    return ", ".join(part + [f"{axis} {index}" for axis, index in spot.axes.items()]) or "the whole"


def as_json(rejected, dtype, limit, trace, cause, again):
    """The same for programs. Numbers that JSON has none for are strings."""
    kind = "parameter" if cause is trace.parameter else "range" if cause is trace.beyond else "not finite"
    return {
        "step": rejected.step,
        "reason": rejected.reason,
        "how": rejected.how,
        "again": again,
        "dtype": dtype,
        "limit": limit,
        "cause": cause and {"kind": kind} | spot_json(cause),
        "first_not_finite": trace.lost and spot_json(trace.lost),
        "first_beyond": trace.beyond and spot_json(trace.beyond),
        "largest": [spot_json(spot) for spot in trace.largest.values()],
    }


def spot_json(spot):
    """One place."""
    return {
        "pass": spot.stage, "name": spot.name, "layer": spot.layer, "part": spot.part,
        "index": list(spot.found.place), "axes": spot.axes, "value": repr(spot.found.value),
        "line": spot.found.line,
    }  # fmt: skip
