"""A comparison for people, and for programs."""

import json
import math

from reference.diff.causes import first_failing
from reference.diff.walk import describe_place
from reference.llmc.names import PARAMETERS, label

HEAD = f"{'tensor':<14} {'shape':<18} {'max |error|':>11} {'relative':>9} {'expected':>9} {'ulp':>8} " + (
    f"{'1 - cosine':>10} {'of budget':>9}"
)


def as_text(command, rows, notes, verdict):
    """A table in graph order up to the first failure, where that is, and why."""
    failing = first_failing(rows)
    shown = rows if failing is None else rows[: rows.index(failing) + 1]
    budget = f"--tolerance {command.tolerance}" if command.tolerance is not None else (
        f"what {command.dtype} costs, estimated from {command.runs} emulated runs"
    )  # fmt: skip
    lines = [f"budget: {budget}", *(f"note: {note}" for note in notes), "", HEAD]
    lines += [line_of(row) for row in shown]
    if failing is None:
        return "\n".join([*lines, "", *agreement(rows, verdict)])
    lines += ["", f"first difference: {label(failing.key)}", *details(failing), "", *cause(failing, verdict)]
    later = [row for row in rows[rows.index(failing) + 1 :] if not row.passed]
    lines += [
        f"beyond their budgets as well: {len(later)} of the {len(rows) - len(shown)} tensors that follow"
    ]
    return "\n".join(lines)


def agreement(rows, verdict):
    """What is said where no tensor is beyond its budget."""
    within = f"all {len(rows)} tensors are within their budgets"
    if verdict is None:
        return [f"equal: {within}"]
    fault, (x, bound) = verdict.planted[0][0], verdict.projection
    return [
        f"different: {within}, but an error points along a known fault",
        f"cause: {fault.says} [{fault.name}]",
        f"  verified: from MINE's own inputs, and projected on what this does, the error is {x:.3f}: 1 is",
        f"  the fault itself, 0 is none, and rounding stays within {bound:.3f}",
    ]


def line_of(row):
    """One row of the table."""
    if row.verdict == "not kept":
        return f"{label(row.key):<14} {shape_of(row):<18} all zeros, as llm.c leaves it: not compared"
    return (
        f"{label(row.key):<14} {shape_of(row):<18} {row.largest:>11.2e} {row.relative:>9.1e} "
        f"{row.expected:>9.1e} {row.ulp:>8.3g} {1 - row.cosine:>10.1e} {row.share:>9.3g}"
        f"{'' if row.passed else '  <-- differs'}"
    )


def shape_of(row):
    return "x".join(map(str, row.shape)) or "scalar"


def details(row):
    """Where the largest error is, and how large."""
    mine, want = row.values
    place = describe_place(row.key, row.where) if row.where else ""
    if not math.isfinite(mine):
        return [f"  not a finite number: {mine} at {place}, expected {want:.9g}"]
    return [
        f"  largest error at {place}: {mine:.9g}, expected {want:.9g}" if place else
        f"  {mine:.9g}, expected {want:.9g}",
        f"  max |error| {row.largest:.3e}, relative {row.relative:.3e} (rounding: {row.expected:.1e}), "
        f"{row.ulp:.3g} ulp, cosine {row.cosine:.9f}, {row.share:.3g} times the budget",
    ]  # fmt: skip


def cause(failing, verdict):
    """What is known of the cause."""
    if failing.key[0] in PARAMETERS:
        return ["cause: MINE computes with other weights than REF"]
    if verdict is None:
        return ["cause: not looked for"]
    if not verdict.planted:
        return ["cause: no known cause explains it"]
    lines = []
    for fault, layers in verdict.planted:
        where = "" if layers is None else f" (in layer {layers[0]})"
        lines.append(f"cause: {fault.says}{where} [{fault.name}]")
    within = sum(row.passed for row in verdict.rows)
    lines.append(f"  verified: with {'this' if len(lines) == 1 else 'these'} planted in the reference, "
                 f"{within} of {len(verdict.rows)} tensors are within their budgets")  # fmt: skip
    if verdict.unexplained is not None:
        lines.append(f"  from {label(verdict.unexplained)} on there is more: no known cause explains it")
    return lines


def as_json(command, rows, notes, verdict):
    """The same, every row included."""
    failing = first_failing(rows)
    report = {
        "equal": failing is None and verdict is None,
        "dtype": command.dtype,
        "notes": notes,
        "first_difference": None if failing is None else label(failing.key),
        "causes": None if verdict is None else [
            {"name": fault.name, "says": fault.says, "layers": layers} for fault, layers in verdict.planted
        ],
        "unexplained": None if verdict is None or verdict.unexplained is None else label(verdict.unexplained),
        "projection": None if verdict is None else verdict.projection,
        "tensors": [entry(row) for row in rows],
    }  # fmt: skip
    return json.dumps(report, indent=1)


def entry(row):
    """A Row as JSON: infinite and not-a-number as strings, for JSON has neither."""
    plain = row._asdict() | {"name": row.key[0], "layer": row.key[1]}
    del plain["key"]
    return {field: finite(value) for field, value in plain.items()}


def finite(value):
    if isinstance(value, tuple):
        return [finite(part) for part in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
