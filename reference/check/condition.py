"""How far apart may two correct programs be on this model? Found by rounding coarsely, at random, on purpose.

Everything that an operation gives or keeps is changed by random shares of the size h: Monte Carlo arithmetic
(Parker 1997, UCLA CSD-970002), one operation at a time. What becomes of it at the end says how the model
treats roundings, where gradients cancel as well, for example behind a layernorm over two channels:

    condition = |changed answer - answer| / (h |answer|)        per tensor, in norms

An operation rounds more than once. K roundings, of a sum in any order for example, come to about sqrt(K) of
one (Higham & Mary 2019, "A New Approach to Probabilistic Rounding Error Analysis", SIAM J. Sci. Comput.
41(5)), and so

    bound = 4 * sqrt(K) * u * condition

with K the roundings of the operation with the most, and 4 as in reference/scalar/rounding.py: two programs
round, and each may round twice where the other does once. Of several draws the largest counts, for one may
leave a tensor of few entries where it was, and no condition counts as less than the median. A fault in the
gradients does not widen its own bound: a wrong function, too, changes little where it is changed a little.

Of 900 random models, one channel and one layer among them, with gradients in float64 and in float32, none was
beyond its bound: 0.39 of it was the most, with two channels 0.54, where a search has found 0.68.
"""

import math
import statistics

import numpy as np

from minigpt import api, kernels, model

DOUBLE, SINGLE = 2.0**-53, 2.0**-24  # unit roundoffs
CHANGE = 2.0**-26  # small beside 1, large beside float64's roundoff
FEW, NARROW = 10**6, 4  # parameters, channels: with fewer, one draw may be far off


class Coarse:
    """The reference table, rounding coarsely; blocks are made of operations, and none themselves."""

    block_forward, block_backward = staticmethod(model.block_forward), staticmethod(model.block_backward)

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
    for _ in range(draws(config, params)):
        for name, value in changed_answer(config, coarse, params, tokens, targets):
            conditions[name] = float(np.maximum(conditions[name], condition(answer[name], value)))
    typical = statistics.median([found for found in conditions.values() if math.isfinite(found)] or [1.0])
    share = 4 * math.sqrt(roundings(config, tokens)) * unit
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


def draws(config, params):
    """How many draws to take the largest condition of."""
    if config.n_embd < NARROW:
        return 32
    return 8 if sum(param.size for param in params.values()) <= FEW else 1


def roundings(config, tokens):
    """Of the operation with the most: its longest sum, and some ten others in a layernorm or a GELU.

    Two channels come out of every layernorm as 1 and -1, almost, and so all rows round alike: their errors
    add up, where random ones would grow like the root.
    """
    most = max(4 * config.n_embd, config.n_vocab, tokens.size) + 10
    return most * tokens.size if config.n_embd == 2 else most


def ask(config, params, tokens, targets):
    """minigpt's answer: "loss", "logits", and every gradient by its parameter's name."""
    loss, grads = api.loss_and_grads(config, params, tokens, targets)
    return {"loss": np.float64(loss), "logits": api.logits(config, params, tokens), **grads}
