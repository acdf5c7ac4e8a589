"""Which tensors there are, which event made each and which used it, and what they are called."""

from collections.abc import Mapping
from itertools import chain

import numpy as np

from minigpt.arrays import Flat
from reference.trace.events import Tensor, Use
from reference.trace.source import arrows, births, cached_names


class Notes:
    """Events in their order, and the tensors that flow between them."""

    def __init__(self):
        self.events, self.tensors = [], []
        self.known = {}  # where numbers lie -> the tensor; all are kept, so no place is used twice
        self.caches = {}  # id of a cache -> (it, so that it stays; the event that made it)

    def add(self, event):
        """A new event; its number."""
        self.events.append(event)
        return len(self.events) - 1

    def tensor(self, value, name="", axes=(), maker=None):
        """The number of the tensor that an array is, or is another shape of."""
        array = np.asarray(value).view(np.ndarray)
        place = array.__array_interface__["data"][0], array.nbytes
        key = id(value) if isinstance(value, np.generic) else place
        number = self.known.setdefault(key, len(self.tensors))
        if number == len(self.tensors):
            self.tensors.append(Tensor(array, maker=maker))
            if isinstance(value, np.generic):
                self.caches[key] = value, None  # kept, so that no other gets its id
        tensor = self.tensors[number]
        if not tensor.name and " " not in name:  # no name: an expression, such as weights / totals
            tensor.name = name
        if not tensor.axes and len(axes) == tensor.array.ndim:
            tensor.axes = axes
        return number

    def given(self, arrays, axes=None, parameters=False):
        """What is there before the first event, by name."""
        for name, array in arrays.items():
            tensor = self.tensors[self.tensor(array, name, (axes or {}).get(name, ()))]
            tensor.is_parameter = parameters

    def rename(self, name, array):
        """Call a tensor by a better name than it got when it was made."""
        self.tensors[self.tensor(array)].name = name

    def use(self, name, value, axes=(), maker=None, title=None):
        """A Use of an array."""
        value = value.buffer if isinstance(value, Flat) else value
        return Use(name, self.tensor(value, title or name, axes, maker), value.shape)

    def results(self, event, result):
        """What an event returned: under the caller's names, in the docstring's shapes; and the cache."""
        number = self.events.index(event)
        parts = result if isinstance(result, tuple) else (result,)
        if len(parts) > 1 and isinstance(parts[-1], tuple):
            *parts, cache = parts
            self.caches[id(cache)] = cache, number
            event.kept = self.cache_uses(event, cache, number)
        said = arrows(event.function.__doc__)[1] if event.function else []
        for place, part in enumerate(parts):
            if is_numbers(part):
                name, axes = said[place] if place < len(said) else ("result", ())
                title = event.site.targets[place] if place < len(event.site.targets) else name
                event.results.append(self.use(name, part, axes, number, title))

    def cache_uses(self, event, cache, maker=None):
        """The arrays in a cache under the names that its maker has for them."""
        born, names = births(event.function), cached_names(event.function)
        said = dict(chain(*arrows(event.function.__doc__)))
        return [self.use(name, part, said.get(name) or born.get(name, (0, ()))[1], maker)
                for name, part in zip(names, cache, strict=False) if is_numbers(part)]  # fmt: skip

    def variables(self, event, found, arguments):
        """The names within an operation, in the order in which the source gives them their values."""
        number, born = self.events.index(event), births(event.function) if found else {}
        for name, (_, axes) in born.items():
            value = found.get(name)
            if is_numbers(value) and value is not arguments.get(name):
                event.variables.append(self.use(name, value, axes, number))
            elif isinstance(value, (int, float)):
                event.numbers[name] = value

    def inputs(self, event, arguments):
        """What an event was given. A cache is its parts; a mapping, and a block's tape, all arrays in it."""
        said = dict(arrows(event.function.__doc__)[0]) if event.function else {}
        for name, value in arguments.items():
            if id(value) in self.caches and isinstance(value, tuple):
                forward = self.events[self.caches[id(value)][1]]
                forward.pair, event.pair = self.events.index(event), self.events.index(forward)
                event.inputs += self.cache_uses(forward, value)
            elif isinstance(value, (Mapping, tuple, list)) and not isinstance(value, Flat):
                event.inputs += [self.use(key, part) for key, part in nested(name, value)]
            elif is_numbers(value):
                event.inputs.append(self.use(name, value, said.get(name, ())))
            elif isinstance(value, (int, float)):
                event.numbers[name] = value
        made = {use.tensor for use in event.results}
        event.inputs = [use for use in event.inputs if use.tensor not in made]  # not what was written over
        self.used(event)

    def used(self, event):
        """Tell the tensors that an event uses them; a block uses none that its operations do not."""
        if event.kind != "block":
            for tensor in dict.fromkeys(use.tensor for use in event.inputs):
                self.tensors[tensor].users.append(self.events.index(event))


def is_numbers(value):
    """Whether a value is an array of numbers, or a single one of NumPy's."""
    if isinstance(value, Flat):
        return True
    return isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "fiub" and value.size > 0


def nested(name, value):
    """Every array in mappings, tuples and lists, with the last name on its way."""
    if isinstance(value, Mapping) and not isinstance(value, Flat):
        value = value.items()
    elif isinstance(value, (tuple, list)):
        value = [(name, one) for one in value]
    for key, one in value:
        if is_numbers(one):
            yield key, one
        elif isinstance(one, (Mapping, tuple, list)):
            yield from nested(key, one)
