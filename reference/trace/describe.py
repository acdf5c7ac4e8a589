"""Events and tensors as plain data for the page."""

from reference.trace.source import births, equation, lines_of


def events_of(notes):
    """Every event, with its words, its source, and where its variables get their values."""
    return [described(notes, event) for event in notes.events]


def described(notes, event):
    """One event."""
    function, site = event.function, event.site
    born = births(function) if function else {}
    return {
        "name": event.name, "kind": event.kind, "stage": event.stage, "label": event.label,
        "inside": event.inside, "pair": event.pair, "shown": makes_something(notes, event),
        "site": {"file": site.file, "first": site.line, "last": site.last},
        "source": dict(zip(("file", "first", "last"), lines_of(function), strict=True)) if function else None,
        "says": equation(function.__doc__) if function else [],
        "born": {name: line for name, (line, _) in born.items()},
        "numbers": {name: f"{number:.6g}" for name, number in event.numbers.items()},
        **{role: [use._asdict() for use in getattr(event, role)]
           for role in ("inputs", "results", "kept", "variables")},
    }  # fmt: skip


def makes_something(notes, event):
    """Whether an event has made a tensor, or holds others that have; one that hands on is not shown."""
    number = notes.events.index(event)
    return event.kind == "block" or any(notes.tensors[use.tensor].maker == number for use in event.results)


def tensors_of(notes, described):
    """Every tensor: its name, who made it, who uses it, which is its gradient, where its numbers lie."""
    gradients = {tensor.gradient: number for number, tensor in enumerate(notes.tensors)
                 if tensor.gradient is not None}  # fmt: skip
    return [
        {"name": tensor.name, "axes": tensor.axes, "maker": tensor.maker, "users": tensor.users,
         "gradient": tensor.gradient, "of": gradients.get(number), "is_parameter": tensor.is_parameter,
         "kind": tensor.array.dtype.kind.replace("u", "i"), **where}
        for number, (tensor, where) in enumerate(zip(notes.tensors, described, strict=True))
    ]  # fmt: skip
