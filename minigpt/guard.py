"""Is a step fit to be applied? One that is not finite ruins every weight; one that leaps may undo hours.

The guard remembers the last accepted steps (Window), judges the next by them (judge), and takes note of its
own verdict (after). All is pure: the window is part of the training state, saved and resumed with it.
"""

import math
from typing import NamedTuple

REMEMBERED = 128  # accepted steps that a spike is measured against; before there are so many, none is
PATIENCE = 3  # so many rejected in a row are no accident


class Window(NamedTuple):
    """What the guard remembers. In JSON as plain() gives it; of() reads that back."""

    losses: tuple = ()  # of the last accepted steps, oldest first
    norms: tuple = ()  # of their gradients
    not_finite: int = 0  # steps rejected in a row because they were not finite
    spikes: int = 0  # steps rejected as spikes since the last accepted one

    def plain(self):
        """As JSON takes it, every bit kept."""
        return {"losses": [*self.losses], "norms": [*self.norms], "not_finite": self.not_finite,
                "spikes": self.spikes}  # fmt: skip

    @classmethod
    def of(cls, plain):
        """The window that plain() described; ValueError if it is none."""
        match plain:
            case {"losses": list(losses), "norms": list(norms), "not_finite": int(a), "spikes": int(b)}:
                numbers = all(type(x) is float and math.isfinite(x) for x in (*losses, *norms))
                counts = all(type(n) is int and n >= 0 for n in (a, b))
                if numbers and counts and len(losses) == len(norms) <= REMEMBERED:
                    return cls(tuple(losses), tuple(norms), a, b)
        raise ValueError(f"expected the guard's window of at most {REMEMBERED} steps, found {plain!r:.80}")


class Verdict(NamedTuple):
    """What becomes of a step, as one number: of several ranks' verdicts the greatest is everybody's."""

    kind: int  # FINE, ...
    reason: str = ""

    @property
    def accepted(self):
        """Whether the step is applied."""
        return self.kind <= NEW_LEVEL

    def __str__(self):
        if self.accepted:
            return f"accepted: {self.reason}; after {PATIENCE} in a row a new level, the guard begins anew"
        return f"rejected, no weight has changed: {self.reason}"


FINE, NEW_LEVEL, SPIKE, NOT_FINITE = range(4)


def worst(verdicts):
    """The one of several ranks' that is everybody's; each may be the plain list that JSON made of it."""
    return max((Verdict(*one) for one in verdicts), key=lambda one: one.kind)


def judge(window, loss, norm, limit=0.0):
    """Refuse a step whose loss or gradient norm is NaN or infinite, or, if limit is not 0, leaps.

    A leap is more than limit standard deviations above the mean of the last REMEMBERED accepted steps. What
    leaps PATIENCE times in a row, with the weights left as they were, is no bad batch but a new level of the
    data, and accepted as such: a guard that refuses for good would have ended the training.
    """
    for name, value in (("loss", loss), ("gradient norm", norm)):
        if not math.isfinite(value):
            return Verdict(NOT_FINITE, f"{name} is {float(value)}")
    if not limit or len(window.losses) < REMEMBERED:
        return Verdict(FINE)
    for name, value, before in (("loss", loss, window.losses), ("gradient norm", norm, window.norms)):
        mean, spread = mean_and_spread(before)
        if value - mean > limit * spread:
            reason = f"{name} {value:.4g} is more than {limit:g} standard deviations ({spread:.2g}) above "
            reason += f"{mean:.4g}, the mean of the last {REMEMBERED} accepted steps"
            return Verdict(SPIKE if window.spikes < PATIENCE else NEW_LEVEL, reason)
    return Verdict(FINE)


def mean_and_spread(values):
    """The mean of numbers and their standard deviation, both rounded only a few times."""
    mean = math.fsum(values) / len(values)
    return mean, math.sqrt(math.fsum((x - mean) ** 2 for x in values) / (len(values) - 1))


def after(window, verdict, loss, norm):
    """The window for the next step: an accepted one enters, a rejected one is only counted."""
    if verdict.kind == NOT_FINITE:
        return window._replace(not_finite=window.not_finite + 1)
    if verdict.kind == SPIKE:
        return window._replace(not_finite=0, spikes=window.spikes + 1)
    older = window if verdict.kind == FINE else Window()  # a new level is not measured by the old one
    return Window((*older.losses, loss)[-REMEMBERED:], (*older.norms, norm)[-REMEMBERED:])
