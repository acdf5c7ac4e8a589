"""Gradients of parameters that are computed where they belong: straight into the flat float32 buffer.

A backward function gives a Gradient instead of an array. collect, which is at work while the layers below
are still to come, has it written over what the buffer holds, or added to it. So no gradient is in memory
twice, and on a GPU accumulation over micro-batches costs nothing: cuBLAS adds as it writes.
"""


class Gradient:
    """write(out, add) lays a gradient into a float32 view, over what that holds or added to it. Once."""

    def __init__(self, *writers):
        self.writers = writers

    def __add__(self, other):
        """The sum of two, written one after the other."""
        return Gradient(*self.writers, *other.writers)

    def write(self, out, add):
        """Each part: the first as told, the others on top. What they were made from is let go."""
        writers, self.writers = self.writers, ()
        for writer in writers:
            writer(out, add)
            add = True


def together(launch, count):
    """Gradients that one launch writes, once it is known where each goes: launch([out, ...], add)."""
    places, launches = [None] * count, [launch]

    def member(i):
        def writer(out, add):
            places[i] = out
            if all(place is not None for place in places):
                launches.pop()(places, add)

        return Gradient(writer)

    return [member(i) for i in range(count)]


def collect(gradients, into, add):
    """Lay a stream of (name, Gradient) into a Flat: over what it held, or added to it."""
    for name, gradient in gradients:
        gradient.write(into[name], add)
    return into
