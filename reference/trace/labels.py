"""What events are called: after the parameters that they use, as far as all of these share a name."""

from itertools import takewhile


def label(notes):
    """Give every event its label: h.0.ln_1, h.0, h.0.attention, embedding."""
    for event in notes.events:
        used = [notes.tensors[use.tensor] for use in event.inputs]
        parameters = [tensor for tensor in used if tensor.is_parameter]
        own_alone = event.kind == "block" or all(one_home(notes, tensor) for tensor in parameters)
        shared = prefix([tensor.name for tensor in parameters]) if own_alone else ""
        block = notes.events[event.inside].label if event.inside is not None else ""
        own = "sum" if event.name == "add" else event.name.removesuffix(f"_{event.stage}")
        if event.kind == "block" or len(shared) > len(block):
            event.label = shared
        else:
            event.label = f"{block}.{own}" if block else own


def one_home(notes, tensor):
    """Whether a parameter belongs to one operation and its mirror: the token table has two."""
    return len({notes.events[user].name.rpartition("_")[0] for user in tensor.users}) == 1


def prefix(names):
    """["h.0.ln_1.weight", "h.0.ln_1.bias"] -> "h.0.ln_1"; of one name, all but its last word."""
    parts = [name.split(".")[:-1] for name in names]
    same = takewhile(lambda words: len(set(words)) == 1, zip(*parts, strict=False))
    return ".".join(words[0] for words in same)


def fill_axes(notes):
    """Letters for tensors that have none: those of one with the same shape in the same event."""
    for event in notes.events:
        numbers = {use.tensor for use in event.inputs + event.results + event.kept + event.variables}
        known = {notes.tensors[number].array.shape: notes.tensors[number].axes for number in sorted(numbers)
                 if notes.tensors[number].axes}  # fmt: skip
        for number in numbers:
            tensor = notes.tensors[number]
            tensor.axes = tensor.axes or known.get(tensor.array.shape, ())
