"""One step in float64 with every operation watched: what each is called, and where a number is lost first."""

import functools
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from minigpt import kernels
from minigpt.model import backward, forward
from minigpt.watched import Found, first_beyond, watched

# the operations of a block in the order of the forward pass; backward is its mirror
BLOCK = ("ln_1", "attn.c_attn", "attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.gelu", "mlp.c_proj")
OUTSIDE = {
    "embedding": "embedding", "layernorm": "ln_f", "unembedding": "logits", "cross_entropy": "loss",
}  # fmt: skip


class Spot(NamedTuple):
    """Where in a step a number stands."""

    part: int  # of the global batch
    stage: str  # forward, backward or norm
    name: str  # an operation, h.1.mlp.gelu, or a parameter, h.1.mlp.c_fc.weight
    layer: int | None
    found: Found
    axes: dict  # b, t, c, ... -> index


class Lost(Exception):
    """A number is not finite; nothing behind it has a meaning."""


class Trace:
    """What was seen: every operation's largest number, the first beyond a range, the first not finite."""

    def __init__(self, config, limit):
        self.config, self.limit = config, limit
        self.part, self.stage, self.layer, self.name, self.batch = 0, "forward", None, "", (1, 1)
        self.largest, self.beyond, self.lost = {}, None, None
        self.parameter, self.names, self.checked = None, {}, set()
        self.first = None  # of parameter, beyond and lost, in the order of the step

    def __call__(self, largest, lost, beyond=None):
        """After every single operation; see watched.see."""
        if largest is not None and largest.value == largest.value:
            spot, key = self.spot(largest), (self.stage, self.name)
            if key not in self.largest or abs(largest.value) > abs(self.largest[key].found.value):
                self.largest[key] = spot
        if self.beyond is None and beyond is not None:
            self.beyond = self.spot(beyond)
            self.first = self.first or self.beyond
        if lost is not None:
            self.lost = self.spot(lost)
            self.first = self.first or self.lost
            raise Lost

    def spot(self, found):
        """Where we are."""
        return Spot(self.part, self.stage, self.name, self.layer, found, self.axes(found))

    def axes(self, found):
        """An index by the letters of the legend, in lower case."""
        (B, T), shape, place = self.batch, found.shape, found.place
        C = self.config.n_embd
        mixed_up = self.stage == "backward" and B * T in (C, 3 * C, 4 * C, self.config.n_vocab)
        if len(shape) == 2 and shape[0] == B * T and not mixed_up and shape != (B, T):  # rows of a product
            place, shape = (*divmod(place[0], T), place[1]), (B, T, shape[1])
        if shape[:2] == (B, T) and len(shape) < 4:
            letters = "btv" if self.name in ("logits", "loss") else "btc"
        elif len(shape) == 4:  # of attention: a head's channel, or the position that is looked at
            letters = "bhts" if shape[-1] in (1, T) else "bhtd"
        else:
            letters = "ij"
        return dict(zip(letters, place, strict=False))

    def check_parameters(self, arguments):
        """Note the first parameter among an operation's arguments that is no number, or beyond the range."""
        for argument in arguments:
            name = self.names.get(id(argument))
            if name is None or name in self.checked:
                continue
            self.checked.add(name)
            used = argument[: self.batch[1]] if name == "wpe.weight" else argument
            place = first_beyond(used, self.limit)
            if place is not None and self.parameter is None:
                value = Found(float(argument[place]), place, argument.shape, "")
                self.parameter = Spot(
                    self.part, self.stage, name, self.layer, value, dict(zip("ij", place, strict=False))
                )
                self.first = self.first or self.parameter

    # the table ---------------------------------------------------------------------------------------------

    def operation(self, kind, function):
        """An operation that says what it is called, and looks at its parameters first."""
        stem = kind.rpartition("_")[0]

        @functools.wraps(function)
        def named(*arguments):
            before = self.name
            if self.layer is None:
                self.name = OUTSIDE.get(stem, stem)
            else:
                self.name = f"h.{self.layer}.{next(self.order)}"
            parameters = arguments[1] if kind.endswith("_backward") and len(arguments) > 1 else arguments
            self.check_parameters(parameters)
            result = function(*arguments)
            self.check_result(result)
            self.name = before
            return result

        return named

    def check_result(self, result):
        """End the search at the first operation whose result a bad parameter has reached."""
        output = result[0] if isinstance(result, tuple) else result
        if self.parameter is None or np.isfinite(self.parameter.found.value):
            return
        place = first_beyond(output)
        if place is not None:
            self.lost = self.spot(Found(float(output[place]), place, np.shape(output), ""))
            raise Lost

    def block(self, function, stage):
        """A block, whose operations have names of their own and whose sums are the residual's."""

        @functools.wraps(function)
        def named(*arguments):
            L = self.config.n_layer
            self.layer = self.count if stage == "forward" else L - 1 - self.count
            self.count, self.order = self.count + 1, iter(BLOCK if stage == "forward" else BLOCK[::-1])
            self.name = f"h.{self.layer}.residual"
            result = function(*arguments)
            self.layer = None
            return result

        return named

    def table(self):
        """The reference operations, each wrapped."""
        blocks = {
            f"block_{stage}": self.block(kernels.REFERENCE[f"block_{stage}"], stage)
            for stage in ("forward", "backward")
        }
        named = {
            kind: self.operation(kind, function)
            for kind, function in kernels.REFERENCE.items()
            if kind.endswith(("_forward", "_backward")) and kind not in blocks
        }
        return SimpleNamespace(**kernels.REFERENCE | named | blocks)


def traced(config, params, batches, limit):
    """The Trace of a step's forward and backward passes and of the gradient's norm."""
    trace = Trace(config, limit)
    table = trace.table()
    weights = {name: watched(array.astype(np.float64), trace) for name, array in params.items()}
    trace.names = {id(array): name for name, array in weights.items()}
    grads = {}
    try:
        for trace.part, (tokens, targets) in enumerate(batches):
            trace.stage, trace.count, trace.batch = "forward", 0, tokens.shape
            logits, tape = forward(config, table, weights, tokens)
            _, cache = table.cross_entropy_forward(logits, targets)
            trace.stage, trace.count = "backward", 0
            dlogits = table.cross_entropy_backward(1 / len(batches), cache)
            for name, gradient in backward(config, table, dlogits, tape):
                trace.name = f"d{name}"
                grads[name] = grads[name] + gradient if trace.part else gradient
                trace.name = "dwte.weight"  # the only sum out here: the table is used twice
        trace.stage, trace.name, trace.batch = "norm", "global_norm", (0, 0)
        table.global_norm(np.concatenate([gradient.ravel() for gradient in grads.values()]))
    except Lost:
        pass
    return trace
