"""A comparison for people, and for programs."""

import json
import math

from reference.diff.causes import first_failing
from reference.diff.walk import describe_place
from reference.llmc.names import PARAMETERS, label

HEAD = f"{'tensor':<14} {'shape':<18} {'max |error|':>11} {'relative':>9} {'expected':>9} {'ulp':>8} " + (
    f"{'1 - cosine':>10} {'of budget':>9}"
)


EXIT_CODES = {"equal": 0, "different": 1, "unchecked": 3}


def outcome(rows, verdict):
    """The result in a word. A tensor that could not be checked is not called equal."""
    if first_failing(rows) is not None or (verdict and verdict.planted):
        return "different"
    return "unchecked" if unchecked(rows) else "equal"


def unchecked(rows):
    """The keys whose budgets would allow anything."""
    return [row.key for row in rows if row.verdict == "unchecked"]


def as_text(command, rows, notes, verdict):
    """A table in graph order up to the first failure, where that is, and why."""
    failing = first_failing(rows)
    shown = rows if failing is None else rows[: rows.index(failing) + 1]
    budget = f"--tolerance {command.tolerance}" if command.tolerance is not None else (
        f"what {command.dtype} costs, estimated from {command.runs} emulated runs"
    )  # fmt: skip
    lines = [f"budget: {budget}", *(f"note: {note}" for note in notes), "", HEAD]
    lines += [*map(line_of, shown), ""]
    if failing is None:
        lines += agreement(command, rows, verdict)
    else:
        lines += [f"first difference: {label(failing.key)}", *details(command, failing), ""]
        lines += cause(failing, verdict)
        later = [row for row in rows[len(shown) :] if not row.passed]
        following = len(rows) - len(shown)
        lines.append(f"beyond their budgets as well: {len(later)} of the {following} tensors that follow")
    return "\n".join(lines)


def agreement(command, rows, verdict):
    """What is said where no tensor is beyond its budget."""
    wide = unchecked(rows)
    within = f"all {len(rows)} tensors are within their budgets"
    if verdict and verdict.planted:
        return [f"different: {within}, but an error points along a known fault", *by_pattern(verdict)]
    if wide:
        lines = [
            f"unchecked: {len(wide)} of {len(rows)} tensors, the first is {label(wide[0])}: {command.dtype} "
            f"leaves nothing of them,",
            "  or overflows, so no error would be beyond their budgets; the others are within theirs",
        ]
    else:
        lines = [f"equal: {within}"]
    return lines + [f"  not visible in {command.dtype}: {fault.says} [{fault.name}]: {why}"
                    for fault, why in (verdict.unseen if verdict else ())]  # fmt: skip


def by_pattern(verdict):
    """A fault that a probe has found."""
    (fault, layers), (x, bound) = verdict.planted[0], verdict.projection
    return [
        f"cause: {fault.says}{place_of(layers)} [{fault.name}]",
        f"  verified: from MINE's own inputs, and projected on what this does, the error is {x:.3f}: 1 is",
        f"  the fault itself, 0 is none, and rounding stays within {bound:.3f}",
    ]


def place_of(layers):
    """Where a fault is, unless everywhere; layer None is the last layernorm."""
    if layers is None:
        return ""
    words = ["the last layernorm" if layer is None else f"layer {layer}" for layer in layers]
    return f" (in {', '.join(words)})"


def line_of(row):
    """One row of the table."""
    if row.verdict == "not kept":
        return f"{label(row.key):<14} {shape_of(row):<18} all zeros, as llm.c leaves it: not compared"
    return (
        f"{label(row.key):<14} {shape_of(row):<18} {row.largest:>11.2e} {row.relative:>9.1e} "
        f"{row.expected:>9.1e} {row.ulp:>8.3g} {1 - row.cosine:>10.1e} {row.share:>9.3g}"
        f"{MARKS.get(row.verdict, '')}"
    )


MARKS = {"differs": "  <-- differs", "unchecked": "  unchecked"}


def shape_of(row):
    return "x".join(map(str, row.shape)) or "scalar"


def details(command, row):
    """Where the largest error is, and how large."""
    mine, want = row.values
    place = describe_place(row.key, row.where) if row.where else ""
    if not math.isfinite(mine):
        overflow = f"; an honest program in {command.dtype} overflows too" if math.isinf(row.expected) else ""
        return [f"  not a finite number: {mine} at {place}, expected {want:.9g}{overflow}"]
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
        lines.append(f"cause: {fault.says}{place_of(layers)} [{fault.name}]")
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
        "equal": outcome(rows, verdict) == "equal",
        "outcome": outcome(rows, verdict),
        "dtype": command.dtype,
        "notes": notes,
        "unchecked": [label(key) for key in unchecked(rows)],
        "first_difference": None if failing is None else label(failing.key),
        "causes": None if verdict is None else [
            {"name": fault.name, "says": fault.says, "layers": layers} for fault, layers in verdict.planted
        ],
        "unexplained": None if verdict is None or verdict.unexplained is None else label(verdict.unexplained),
        "projection": None if verdict is None else verdict.projection,
        "unseen": [] if verdict is None else [
            {"name": fault.name, "says": fault.says, "why": why} for fault, why in verdict.unseen
        ],
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
