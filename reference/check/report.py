"""The result of a check, for eyes and for programs."""

import math


def order(question):
    """All tensors as the backward pass meets them: what fails first is where to look."""
    params = [name for name in question.answer if name not in ("loss", "logits")]
    return ["logits", "loss", *reversed(params)]


def failures(question, columns):
    """The tensors that one judge at least refuses, in the order of the backward pass."""
    return [name for name in order(question) if not all(column.passes(name) for column in columns)]


def table(question, columns, norms):
    """Yield the lines: a tensor a row, and for each judge its error and its bound."""
    head = f"{'tensor':28s}{'shape':>14s}{'norm':>11s}"
    yield head + "".join(f"{column.judge + ' / bound':>25s}" for column in columns) + "  verdict"
    refused = set(failures(question, columns))
    for name in ("loss", "logits", *(key for key in question.answer if key not in ("loss", "logits"))):
        if not any(name in column.errors for column in columns):
            continue
        shape = "x".join(map(str, getattr(question.answer[name], "shape", ()))) or "1"
        cells = "".join(f"{cell(column, name):>25s}" for column in columns)
        yield f"{name:28s}{shape:>14s}{norms[name]:11.3e}{cells}  {'FAIL' if name in refused else 'pass'}"


def cell(column, name):
    """One judge of one tensor."""
    if name not in column.errors:
        return "-"
    return f"{column.errors[name]:.1e} / {column.bounds[name]:.1e}"


def facts(verdicts):
    """Yield a line for every published fact."""
    for verdict in verdicts:
        yield f"{verdict.what}: {'pass' if verdict.passed else 'FAIL'}"
        if not verdict.passed:
            yield f"  expected {verdict.expected}"
            yield f"  found    {verdict.found}"


def summary(question, columns, verdicts, seconds, peak):
    """The last line."""
    refused, wrong = failures(question, columns), [verdict for verdict in verdicts if not verdict.passed]
    grads = [name for name in refused if name in question.params]
    others = [name for name in refused if name not in question.params]
    tensors = len(question.params)
    words = [f"{tensors} tensors, {sum(param.size for param in question.params.values()):,} parameters"]
    for column in columns:
        name = column.worst()
        words.append(f"worst by {column.judge} {cell(column, name)} at {name}")
    words.append(f"{duration(seconds)}, peak {peak / 1e9:.1f} GB")
    if refused:
        what = ", ".join([f"{len(grads)} of {tensors} tensors", *others])
        first = f"FAIL: {what}, the first on the way back is {refused[0]}; "
    else:
        first = "FAIL: " if wrong else "pass: "
    return first + "; ".join(words) + "".join(f"; not as published: {verdict.what}" for verdict in wrong)


def as_json(question, columns, verdicts, norms, seconds, peak, about):
    """All of it as one object of plain values."""
    refused, tensors = set(failures(question, columns)), []
    for name, value in question.answer.items():
        judged = [column for column in columns if name in column.errors]
        tensors.append({
            "name": name,
            "shape": list(getattr(value, "shape", ())),
            "norm": plain(norms[name]),
            "errors": {column.judge: plain(column.errors[name]) for column in judged},
            "bounds": {column.judge: plain(column.bounds[name]) for column in judged},
            "passed": name not in refused,
        })
    return about | {
        "passed": not refused and all(verdict.passed for verdict in verdicts),
        "failed": [name for name in order(question) if name in refused],
        "tensors": tensors,
        "published": [verdict._asdict() for verdict in verdicts],
        "seconds": seconds,
        "peak_bytes": peak,
    }


def plain(number):
    """A number as JSON has it, which knows no NaN and no infinity."""
    return float(number) if math.isfinite(number) else str(float(number))


def duration(seconds):
    """192.3 -> "3m12s"."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{round(seconds)}s" if seconds < 99.5 else f"{minutes}m{rest:02d}s"
