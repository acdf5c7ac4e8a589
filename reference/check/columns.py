"""What each judge says of each tensor: an error, and the bound that it must keep."""

import importlib.util
from typing import NamedTuple

import numpy as np

from reference.check import condition, slopes
from reference.compare import distance

LARGE = 2**21  # logits; with more, one sequence is enough for complex-step


class Question(NamedTuple):
    """A model, a batch, and minigpt's answer."""

    config: object
    params: dict  # float64
    tokens: np.ndarray
    targets: np.ndarray
    answer: dict  # "loss", "logits", and every gradient by its parameter's name
    unit: float  # the roundoff of the answer's number type
    bounds: dict  # how far from a correct answer each of its tensors may be


class Column(NamedTuple):
    """One judge's errors and bounds by tensor."""

    judge: str
    errors: dict
    bounds: dict

    def passes(self, name):
        """Whether a tensor is within its bound; NaN is not."""
        return bool(self.errors[name] <= self.bounds[name]) if name in self.errors else True

    def worst(self):
        """The tensor that takes the largest share of its bound."""
        shares = {name: self.errors[name] / self.bounds[name] for name in self.errors}
        return max(shares, key=lambda name: np.inf if np.isnan(shares[name]) else shares[name])


def sequences(question):
    """How many sequences complex-step takes: all, or the first, which is a question of its own."""
    B, T = question.tokens.shape
    return B if B * T * question.config.n_vocab <= LARGE else 1


def complex_step(question, gradients, slope, seed, watch):
    """A random direction through each tensor; the gradients must be those of the slopes' own batch."""
    return Column("complex-step", slopes.errors(slope, gradients, seed, watch), question.bounds)


def torch(question):
    """torch's autograd in float64."""
    from reference import torch_twin

    asked = question.config, question.params, question.tokens
    logits = torch_twin.logits(*asked)
    loss, grads = torch_twin.loss_and_grads(*asked, question.targets)
    return compared("torch", question, grads | {"loss": loss, "logits": logits}, question.bounds)


def has_torch():
    """Whether torch is there to ask."""
    return importlib.util.find_spec("torch") is not None


def debug_state(question, state):
    """llm.c's file, which is rounded to float32 even if minigpt's answer is not."""
    theirs = state.grads | {"loss": state.loss, "logits": state.logits}
    unit = max(question.unit, condition.SINGLE) / question.unit
    return compared("debug-state", question, theirs, {name: unit * b for name, b in question.bounds.items()})


def compared(judge, question, theirs, bounds):
    """The distance of each tensor, of the loss and of the logits, in norms of theirs.

    Where minigpt has zeros throughout, the other's roundings are measured against the largest gradient.
    """
    largest = max(np.linalg.norm(theirs[name]) for name in question.params)
    errors = {}
    for name, mine in question.answer.items():
        if name in question.params and not mine.any() and np.isfinite(theirs[name]).all():
            errors[name] = float(np.linalg.norm(theirs[name]) / largest) if largest else 0.0
        else:
            errors[name] = distance(mine, theirs[name])
    return Column(judge, errors, bounds)
