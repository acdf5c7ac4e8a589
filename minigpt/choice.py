"""How one token is chosen from a model's scores: greedy, temperature, top-k, top-p."""

import numpy as np

from minigpt.config import number_between, whole_between
from minigpt.errors import ConfigError, NumericsError
from minigpt.ops.attention import softmax

TOP_P_RULES = ("smallest", "openai")
LOST = "the model's scores are NaN or infinite: its weights are not usable"
COLDEST = 1e-100  # colder is no different, but would divide beyond the largest float


def lost(weights):
    """The NumericsError that names the weights whose scores are none."""
    return NumericsError(f"{weights}: {LOST}; minigpt inspect {weights} says which tensor")


class Dice:
    """Uniform numbers in [0, 1) from a seed: PCG64's bits, exactly the same on every platform and version."""

    def __init__(self, seed):
        self._bits = np.random.PCG64(seed)

    def roll(self):
        """The next number: 53 random bits, as many as a float64 has."""
        return (int(self._bits.random_raw()) >> 11) * 2.0**-53


class Choice:
    """How tokens are chosen; checked once, for all of them. Raises ConfigError."""

    def __init__(self, temperature=0.0, top_k=None, top_p=None, top_p_rule="smallest"):
        self.temperature = number_between("temperature", temperature, 0, float("inf"))
        self.top_k = 0 if top_k is None else whole_between("top_k", top_k, 0)
        self.top_p = 1.0 if top_p is None else number_between("top_p", top_p, 0, 1, closed=True)
        self.top_p_rule = top_p_rule
        if self.top_p == 0:
            raise ConfigError("top_p must be above 0 and at most 1: found 0, which no token is in")
        if top_p_rule not in TOP_P_RULES:
            raise ConfigError(f"top_p_rule must be one of {', '.join(TOP_P_RULES)}: found {top_p_rule!r}")

    def draw(self, logits, dice):
        """One id: the likeliest at temperature 0 (the lowest of equals), else a draw from `probs`.

        logits (V)
        """
        if not np.isfinite(logits).all():
            raise NumericsError(LOST)
        if self.temperature == 0:
            return int(logits.argmax())
        reached = np.cumsum(self.probs(logits))  # (V)
        return int(np.searchsorted(reached / reached[-1], dice.roll(), side="right"))

    def probs(self, logits):
        """The distribution that is drawn from, in float64; at temperature 0, where none is, the model's own.

        logits (V) -> probs (V)
        """
        logits = logits.astype(np.float64)
        if self.temperature == 0:
            return softmax(logits)
        scaled = (logits - logits.max()) / max(self.temperature, COLDEST)  # (V), the likeliest at 0
        if 0 < self.top_k < len(scaled):
            kth = np.partition(scaled, -self.top_k)[-self.top_k]
            scaled = np.where(scaled < kth, -np.inf, scaled)
        probs = softmax(scaled)
        return probs if self.top_p == 1 else self.nucleus(probs)

    def nucleus(self, probs):
        """The likeliest tokens that reach top_p together (Holtzman et al. 2019, arXiv:1904.09751).

        By OpenAI's rule (openai/gpt-2, src/sample.py) those that stay within it, and all that tie with the
        last of them.

        probs (V) -> probs (V)
        """
        order = np.argsort(-probs, kind="stable")  # (V)
        reached = np.cumsum(probs[order])  # (V)
        if self.top_p_rule == "openai":
            last = max(1, int((reached <= self.top_p).sum())) - 1
            kept = np.where(probs < probs[order[last]], 0, probs)  # (V)
        else:
            count = int((reached < self.top_p).sum()) + 1
            kept = np.zeros_like(probs)  # (V)
            kept[order[:count]] = probs[order[:count]]
        return kept / kept.sum()
