"""What a trace consists of: tensors, and the events that make them of others."""

import dataclasses
from typing import NamedTuple

import numpy as np


class Site(NamedTuple):
    """Where in the source something was asked for."""

    file: str
    line: int
    last: int
    targets: tuple = ()  # what its results are called there
    operands: tuple = ()  # of a sum: the two sides as written


class Use(NamedTuple):
    """A tensor under the name that an event has for it, in the shape in which it sees it."""

    name: str
    tensor: int  # its number in the trace
    shape: tuple


@dataclasses.dataclass(eq=False)
class Tensor:
    """Numbers that exist once, whatever they are called on their way."""

    array: np.ndarray
    name: str = ""
    axes: tuple = ()  # letters of the legend, as the code writes them
    maker: int | None = None  # the number of the event; None: it was there before
    users: list = dataclasses.field(default_factory=list)
    gradient: int | None = None  # the tensor that is the loss's slope by this one
    is_parameter: bool = False


@dataclasses.dataclass(eq=False)
class Event:
    """One call: of an operation, of a block that calls operations, or of NumPy between them."""

    name: str  # of the function: layernorm_forward
    kind: str  # operation, block or between
    stage: str  # forward, backward or update
    site: Site
    function: object = None
    label: str = ""  # which of its kind, after its parameters: h.0.ln_1
    inside: int | None = None  # the block's event
    pair: int | None = None  # of a forward operation its backward, and the other way round
    inputs: list = dataclasses.field(default_factory=list)  # Uses
    results: list = dataclasses.field(default_factory=list)
    kept: list = dataclasses.field(default_factory=list)  # in the cache, for backward
    variables: list = dataclasses.field(default_factory=list)  # what has a name within
    numbers: dict = dataclasses.field(default_factory=dict)  # arguments and variables that are plain numbers
