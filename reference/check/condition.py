"""How far apart may two correct programs be on this model? Found by rounding coarsely, at random, on purpose.

Everything that an operation gives or keeps is changed by random shares of the size h: Monte Carlo arithmetic
(Parker 1997, UCLA CSD-970002), one operation at a time. What becomes of it at the end says how the model
treats roundings, where gradients cancel as well, for example behind a layernorm over two channels:

    condition = |changed answer - answer| / (h |answer|)        per tensor, in norms

A sum of K terms, added in any order, multiplies its roundings by about sqrt(K) (Higham & Mary 2019, "A New
Approach to Probabilistic Rounding Error Analysis", SIAM J. Sci. Comput. 41(5)), and so

    bound = 4 * sqrt(K) * u * condition

with K the longest sum of the model and 4 as in reference/scalar/rounding.py: two programs round, and each
may round twice where the other does once. The largest of several draws counts, for one may leave a tensor of
few entries where it was, and no condition counts as less than the median. A fault in the gradients does not
widen its own bound: a wrong function, too, changes little where it is changed a little.
"""

import math
import statistics

import numpy as np

from minigpt import api, kernels, model

DOUBLE, SINGLE = 2.0**-53, 2.0**-24  # unit roundoffs
CHANGE = 2.0**-26  # small beside 1, large beside float64's roundoff
DRAWS, FEW = 8, 10**6  # draws for a model of few parameters, where one may be far off; for others, one


class Coarse:
    """The reference table, rounding coarsely."""

    def __init__(self, rng):
        self.rng, self.table = rng, kernels.table("reference", "float64")

    def __getattr__(self, name):
        return lambda *arguments: self.rounded(getattr(self.table, name)(*arguments))

    def rounded(self, value):
        """Every float in a result changed by a random share of the size CHANGE."""
        if isinstance(value, tuple):
            return tuple(map(self.rounded, value))
        if np.asarray(value).dtype.kind != "f":
            return value
        shares = self.rng.standard_normal(np.shape(value), np.float32)  # half the memory of float64
        return value + value * (CHANGE * shares)


def bounds(config, params, tokens, targets, answer, unit, seed=0):
    """How far each tensor of another answer may be from this one, in norms, at a unit roundoff.

    answer: minigpt's own to params, both in float64.
    """
    coarse, conditions = Coarse(np.random.default_rng([seed, 2])), dict.fromkeys(answer, 0.0)
    for _ in range(DRAWS if sum(param.size for param in params.values()) <= FEW else 1):
        for name, value in changed_answer(config, coarse, params, tokens, targets):
            conditions[name] = float(np.maximum(conditions[name], condition(answer[name], value)))
    typical = statistics.median([found for found in conditions.values() if math.isfinite(found)] or [1.0])
    share = 4 * math.sqrt(longest_sum(config, tokens)) * unit
    return {name: share * max(found, typical, 1.0) for name, found in conditions.items()}


def changed_answer(config, coarse, params, tokens, targets):
    """Yield everything that a forward and a backward pass on a coarse table give, by name."""
    logits, tape = model.forward(config, coarse, params, tokens)
    loss, tail = coarse.cross_entropy_forward(logits, targets)
    yield from (("loss", loss), ("logits", logits))
    yield from model.backward(config, coarse, coarse.cross_entropy_backward(1.0, tail), tape)


def condition(before, after):
    """Relative change over CHANGE, in norms; nothing is said by zeros, and they count as 0."""
    size = np.linalg.norm(before)
    return np.linalg.norm(np.subtract(after, before)) / size / CHANGE if size != 0 else 0.0


def longest_sum(config, tokens):
    """Terms of the longest sum in a forward and backward pass."""
    return max(4 * config.n_embd, config.n_vocab, tokens.size)


def ask(config, params, tokens, targets):
    """minigpt's answer: "loss", "logits", and every gradient by its parameter's name."""
    loss, grads = api.loss_and_grads(config, params, tokens, targets)
    return {"loss": np.float64(loss), "logits": api.logits(config, params, tokens), **grads}
