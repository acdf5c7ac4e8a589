"""A fault, and how it is planted."""

from types import SimpleNamespace
from typing import NamedTuple

from reference.llmc import ops

ATTENTION = ("preatt", "att", "atty")


class Fault(NamedTuple):
    """A name, a sentence, the tensors in which it can show first, and the operations that it replaces."""

    name: str
    says: str
    shows_in: tuple
    changes: dict


def table_of(planted):
    """The operations of each layer with faults planted: a list of (fault, layers), layers None for all."""

    def table(layer):
        changes = {}
        for fault, layers in planted:
            if layers is None or layer in layers:
                changes |= fault.changes
        return SimpleNamespace(**{**vars(ops), **changes})

    return table
