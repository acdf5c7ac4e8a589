"""How far apart may two correct programs be on this model? Found by rounding coarsely, at random, on purpose.

Every number that an operation computes is changed by a random share: Monte Carlo arithmetic (Parker 1997,
UCLA CSD-970002), one operation at a time. K roundings, of a sum in any order for example, come to about
sqrt(K) of one (Higham & Mary 2019, "A New Approach to Probabilistic Rounding Error Analysis", SIAM J. Sci.
Comput. 41(5)), so the share has the size sqrt(K) h, with K of that very result (lengths.py): a logit is a sum
over C channels, its gradient to the stream one over V tokens, a bias's one over B*T rows. What becomes of it
all at the end says how the model treats roundings, where gradients cancel as well, as behind a layernorm:

    condition = |changed answer - answer| / (h |answer|)        per tensor, in norms
    bound     = 4 u * condition * sqrt(sum of m^2 / sum of m)

with m the sizes of the groups of rows that are alike, as where one token is repeated and no position tells
its places apart. Such rows round alike: their errors add up to m of one, not to sqrt(m) of it. Where all
rows differ the factor is 1. 4 is as in reference/scalar/rounding.py: two programs round, and each may round
twice where the other does once. Of several draws the largest counts, for one may leave a tensor of few
entries where it was; such a tensor's condition, and any of a model of few channels, counts as the median at
least. A fault in the gradients does not widen its own bound: a wrong function, too, changes little where it
is changed a little.

How far honest programs stay below their bounds, and the smallest faults that are noticed:
`python -m tests.bounds_table`.
"""

import math
import statistics

import numpy as np

from minigpt import api, kernels, model
from reference.check.lengths import TEN, lengths

DOUBLE, SINGLE = 2.0**-53, 2.0**-24  # unit roundoffs
CHANGE = 2.0**-30  # small beside 1, large beside float64's roundoff
FEW, NARROW = 10**6, 4  # parameters, channels: with fewer, one draw may be far off
MOST = 3  # results of an operation
DRAWN = 16  # changed numbers, of all draws together, that say enough of a tensor


class Coarse:
    """The reference table, rounding coarsely; blocks are made of operations, and none themselves."""

    block_forward, block_backward = staticmethod(model.block_forward), staticmethod(model.block_backward)

    def __init__(self, rng, length=None):
        self.rng, self.length, self.table = rng, length, kernels.table("reference", "float64")

    def __getattr__(self, name):
        def coarse(*arguments):
            ks = lengths(name, arguments) if self.length is None else MOST * (self.length,)
            results = getattr(self.table, name)(*arguments)
            if name.endswith("_forward"):
                output, cache = results
                return self.rounded(output, ks[0]), self.kept(cache, ks[-1], arguments)
            if not isinstance(results, tuple):
                return self.rounded(results, ks[0])
            return tuple(map(self.rounded, results, ks))

        return coarse

    def kept(self, cache, k, arguments):
        """What a forward operation keeps: changed where it computed it, as it is where it was given it."""
        given = [argument for argument in arguments if isinstance(argument, np.ndarray) and not self.length]
        known = lambda part: any(np.may_share_memory(part, argument) for argument in given)  # noqa: E731
        return tuple(part if known(part) else self.rounded(part, k) for part in cache)

    def rounded(self, value, k):
        """Every float changed by a random share of the size sqrt(k) CHANGE."""
        if np.asarray(value).dtype.kind != "f":
            return value
        shares = self.rng.standard_normal(np.shape(value), np.float32)  # half the memory of float64
        shares *= np.float32(CHANGE * math.sqrt(k))
        return value + value * shares


def bounds(config, params, tokens, targets, answer, unit, seed=0):
    """How far each tensor of another answer may be from this one, in norms, at a unit roundoff.

    answer: minigpt's own to params, both in float64.
    """
    coarse = Coarse(np.random.default_rng([seed, 2]), narrow_length(config, tokens))
    together = math.sqrt(alike(answer["logits"], targets))
    conditions, count = dict.fromkeys(answer, 0.0), draws(config, params)
    for _ in range(count):
        for name, value in changed_answer(config, coarse, params, tokens, targets):
            conditions[name] = float(np.maximum(conditions[name], condition(answer[name], value)))
    typical = statistics.median([found for found in conditions.values() if math.isfinite(found)] or [1.0])
    for name, found in conditions.items():
        lucky = found == 0 or np.size(answer[name]) * count < DRAWN or config.n_embd < NARROW
        conditions[name] = 4 * unit * together * max(found, typical if lucky else 0.0, 1.0)
    return conditions


def changed_answer(config, coarse, params, tokens, targets):
    """Yield everything that a forward and a backward pass on a coarse table give, by name."""
    logits, tape = model.forward(config, coarse, params, tokens)
    loss, cache = coarse.cross_entropy_forward(logits, targets)
    yield from (("loss", loss), ("logits", logits))
    yield from model.backward(config, coarse, coarse.cross_entropy_backward(1.0, cache), tape)


def condition(before, after):
    """Relative change over CHANGE, in norms; nothing is said by zeros, and they count as 0."""
    size = np.linalg.norm(before)
    return np.linalg.norm(np.subtract(after, before)) / size / CHANGE if size != 0 else 0.0


def alike(logits, targets):
    """How many rows round alike with a row, itself included, on average; of all rows, or of the scored ones.

    Rows are taken for alike whose logits have the same sum, with random weights: up to what Coarse changes.
    """
    rows = logits.reshape(-1, logits.shape[-1])
    sums = rows @ np.random.default_rng(0).standard_normal(rows.shape[-1])
    near = CHANGE * np.linalg.norm(rows, axis=-1).max()
    return max(mean_group(sums, near), mean_group(sums[targets.reshape(-1) >= 0], near))


def mean_group(numbers, near):
    """sum of m^2 / sum of m, of the sizes m of groups of numbers without a gap wider than near."""
    starts = np.flatnonzero(np.diff(np.sort(numbers)) > near) + 1
    sizes = np.diff([0, *starts, len(numbers)])
    return float((sizes**2).sum() / max(sizes.sum(), 1))


def narrow_length(config, tokens):
    """K of every operation of a model with few channels: the longest of all; None for other models.

    Few channels come out of a layernorm as good as settled, and hardly a gradient goes back through it: it
    rounds terms that cancel, so no share of what it gives. Two come out as 1 and -1, almost, and all rows
    round alike, in all layers: their errors add up, where random ones would grow like the root.
    """
    if config.n_embd >= NARROW:
        return None
    longest = max(4 * config.n_embd, config.n_vocab, tokens.size) + TEN
    return longest * tokens.size * config.n_layer**2 if config.n_embd == 2 else longest


def draws(config, params):
    """How many draws to take the largest condition of."""
    if config.n_embd < NARROW:
        return 32
    return 8 if sum(param.size for param in params.values()) <= FEW else 1


def ask(config, params, tokens, targets):
    """minigpt's answer: "loss", "logits", and every gradient by its parameter's name."""
    loss, grads = api.loss_and_grads(config, params, tokens, targets)
    return {"loss": np.float64(loss), "logits": api.logits(config, params, tokens), **grads}
