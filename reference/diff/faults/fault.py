"""A fault, and how it is planted."""

from types import SimpleNamespace
from typing import NamedTuple

from reference.llmc import ops

CHAINED = ("weight", "parameter_gradient")  # these take what they return, so that faults in them add up
ATTENTION = ("preatt", "att", "atty")


class Fault(NamedTuple):
    """A name, a sentence, the tensors in which it can show first, and the operations that it replaces."""

    name: str
    says: str
    shows_in: tuple
    changes: dict


def after(earlier, name, change):
    """A change behind an earlier one of the same operation, where both can be."""
    if earlier is None or name not in CHAINED:
        return change
    return lambda at, array: change(at, earlier(at, array))


def table_of(planted):
    """The operations of each layer with faults planted: a list of (fault, layers), layers None for all."""

    def table(layer):
        changes = {}
        for fault, layers in planted:
            if layers is None or layer in layers:
                changes |= {name: after(changes.get(name), name, new) for name, new in fault.changes.items()}
        return SimpleNamespace(**{**vars(ops), **changes})

    return table
