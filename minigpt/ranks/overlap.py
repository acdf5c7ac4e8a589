"""Send each block's gradients while the blocks below are still being worked on."""

import itertools
from typing import NamedTuple

from minigpt.comm import World


class Bucket(NamedTuple):
    """Parameters whose gradients are known together, and where they lie in the flat buffer."""

    names: frozenset
    places: tuple[slice, ...]


class Overlapping(World):
    """A world that begins to exchange a bucket as soon as it is whole.

    A subclass has start(arrays), which begins an all-reduce of their means and returns at once, and finish(),
    which waits for all that were begun.
    """

    def sending(self, gradients, into):
        """Hand on (name, gradient); who asks for the next one has laid the one before into its place."""
        if self.sharded:
            return gradients
        return self._sending(gradients, into)

    def _sending(self, gradients, into):
        waiting = {name: bucket for bucket in buckets(into) for name in bucket.names}
        for name, gradient in gradients:
            yield name, gradient
            bucket = waiting.pop(name)
            if bucket.names.isdisjoint(waiting):
                self.start([into.buffer[place] for place in bucket.places])

    def mean_gradient(self, grads):
        """The mean over ranks, once all buckets are there; with ZeRO-1 nothing was sent on the way."""
        if self.sharded:
            return self.reduce_scatter(grads.buffer)
        self.finish()
        return grads.buffer


def buckets(flat):
    """A Flat's parameters, block by block; those outside of blocks layer by layer.

    Never less than a layer: on a GPU one launch writes the gradients of a gain and its bias, once both places
    are known. A block's matrices are neighbours in the buffer, and so are its vectors: two messages a block.
    """
    keys = {name: ".".join(name.split(".")[:-1][:2]) for name in flat}  # "h.3", "ln_f", "wte"
    found = []
    for key in dict.fromkeys(keys.values()):
        names = [name for name in flat if keys[name] == key]
        found.append(Bucket(frozenset(names), tuple(merged(flat.places[name] for name in names))))
    return found


def merged(places):
    """Slices in their order, neighbours made one."""
    places = sorted(places, key=lambda place: place.start)
    starts = [place.start for place in places]
    ends = [place.stop for place in places]
    cuts = [i for i in range(1, len(places)) if starts[i] != ends[i - 1]]
    return [slice(starts[i], ends[j - 1]) for i, j in itertools.pairwise([0, *cuts, len(places)])]
