"""Complex-step derivatives of a whole model, tensor by tensor (Squire & Trapp 1998, SIAM Review 40(1)).

For an analytic loss f, Im f(p + ih v) / h is its slope along v, exact to rounding, with h so small that h^2
vanishes. Each tensor p gets one random direction v, and the slope must be <v, gradient>. The difference is
measured against the sum of |v_i * gradient_i|: what a sum that cancels is rounded by.

One forward pass a tensor would do. Two things spare more than half of it, and neither touches minigpt's own
forward pass, which runs as it stands on a table of operations that does the sparing:

- Up to the first operation that sees the tensor everything is real and known from one pass before: the
  table plays it back.
- A real matrix maps the real and the imaginary part alone, which spares the products by an imaginary
  part that is 0, and the copy of the matrix as complex numbers.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from minigpt import kernels, model

STEP = 1e-100
PRODUCTS = ("linear_forward", "unembedding_forward")


class Call(NamedTuple):
    """One operation of the real pass."""

    arguments: tuple
    output: np.ndarray
    seconds: float


class Recorder:
    """The reference table, keeping what every forward operation was given, gave and took."""

    block_forward = staticmethod(model.block_forward)  # made of operations, and none itself

    def __init__(self):
        self.calls = []

    def __getattr__(self, name):
        operation = getattr(REFERENCE, name)

        def recorded(*arguments):
            start = time.perf_counter()
            output, _ = operation(*arguments)
            self.calls.append(Call(arguments, output, time.perf_counter() - start))
            return output, None

        return recorded


class Replay:
    """The reference table, whose first operations are known already."""

    block_forward = staticmethod(model.block_forward)

    def __init__(self, outputs):
        self.outputs = iter(outputs)

    def __getattr__(self, name):
        def played(*arguments):
            output = next(self.outputs, None)
            return (parted(name, *arguments) if output is None else output), None

        return played


def parted(name, *arguments):
    """An operation's output; a product with a real matrix part by part."""
    operation = getattr(REFERENCE, name)
    if name in PRODUCTS and np.iscomplexobj(arguments[0]) and not any(map(np.iscomplexobj, arguments[1:])):
        x, weight, *bias = arguments
        real, _ = operation(np.ascontiguousarray(x.real), weight, *bias)
        slope, _ = operation(np.ascontiguousarray(x.imag), weight, *map(np.zeros_like, bias))
        return real + 1j * slope
    return operation(*arguments)[0]


REFERENCE = kernels.table("reference", "float64")


class Slopes:
    """The loss of a model on a batch, ready to be derived by any of its tensors."""

    def __init__(self, config, params, tokens, targets):
        self.config, self.params, self.batch = config, params, (tokens, targets)
        for _ in range(2):  # the first time is slow, and the calls' times are to tell how long all will take
            recorder = Recorder()
            self.loss = self._loss(recorder, params)
        self.calls = recorder.calls
        self.first = {name: self._first_use(param) for name, param in params.items()}

    def error(self, name, gradient, rng):
        """How far the slope along a random direction is from <direction, gradient>, in sums of |terms|."""
        v = rng.standard_normal(gradient.shape)
        changed = self.params | {name: self.params[name] + 1j * STEP * v}
        known = [call.output for call in self.calls[: self.first[name]]]
        slope = self._loss(Replay(known), changed).imag / STEP
        terms = v * gradient
        difference, size = abs(terms.sum() - slope), np.abs(terms).sum()
        return float(difference / size if size > 0 else difference)  # no terms: both must be 0

    def ahead(self, name):
        """Seconds that the real pass took from the first use of a tensor on."""
        return sum(call.seconds for call in self.calls[self.first[name] :])

    def _first_use(self, param):
        return next(n for n, call in enumerate(self.calls) if any(a is param for a in call.arguments))

    def _loss(self, table, params):
        tokens, targets = self.batch
        logits, _ = model.forward(self.config, table, params, tokens)
        return table.cross_entropy_forward(logits, targets)[0][()]


def errors(slopes, gradients, seed, watch: Callable):
    """Every tensor's error by name. watch(name) wraps the names, to show how far it is."""
    return {
        name: slopes.error(name, gradients[name], np.random.default_rng([seed, place]))
        for place, name in enumerate(watch(list(gradients)))
    }
