"""Which tensor is the gradient of which: the gradient of x is dx, by the names that the code has for them."""


def link_gradients(notes):
    """Set Tensor.gradient wherever the pass has made it."""
    events, tensors = notes.events, notes.tensors
    named = {tensor.name: number for number, tensor in enumerate(tensors)}
    for tensor in tensors:
        if tensor.is_parameter:
            tensor.gradient = named.get(f"d{tensor.name}")
    for event in events:
        if event.stage == "forward" and event.pair is not None:
            backward = events[event.pair]
            slopes = {use.name: use.tensor for use in backward.variables + backward.results}
            into = {use.name: use.tensor for use in backward.inputs}
            for use in event.variables + event.kept:
                set_once(tensors[use.tensor], event, slopes.get(f"d{use.name}"), notes)
            for use in event.results:
                set_once(tensors[use.tensor], event, into.get(f"d{use.name}"), notes)
    for event in events:
        if event.stage == "forward" and event.name == "add":
            pass_on(notes, event)


def set_once(tensor, event, gradient, notes):
    """A gradient is that of what the event itself made: of what it was given, it knows a part only."""
    if gradient is not None and tensor.gradient is None and notes.events[tensor.maker or 0] is event:
        tensor.gradient = gradient


def pass_on(notes, event):
    """A sum hands its gradient on unchanged: so a side that is used nowhere else has the same."""
    for use in event.inputs:
        side = notes.tensors[use.tensor]
        if len(side.users) == 1 and side.gradient is not None:
            for result in event.results:
                notes.tensors[result.tensor].gradient = side.gradient
