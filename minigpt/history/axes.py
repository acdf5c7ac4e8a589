"""Where on an axis a step lies: by its number, by the tokens trained on until then, by the hours of steps."""

import numpy as np

from minigpt.errors import ConfigError

LABELS = {"step": "step", "tokens": "tokens", "hours": "hours in training steps"}


def place(history, axis, tokens_per_step=None):
    """A function: steps -> their places. Raises ConfigError where a log does not know.

    tokens_per_step: for logs that do not say how many tokens a step has.
    """
    if axis == "step":
        return lambda steps: np.asarray(steps, float)
    steps = history.train["step"]
    each = tokens_of(history, tokens_per_step) if axis == "tokens" else hours_of(history)
    before = (steps[0] - 1) * each[0] if axis == "tokens" and len(steps) else 0.0  # of a run that it goes on
    sums = np.concatenate([[before], before + np.cumsum(each)])
    return lambda wanted: sums[np.searchsorted(steps, wanted, side="right")]


def tokens_of(history, given=None):
    """Tokens of each training step: by time and speed, or else as given."""
    train = history.train
    each = np.round(train["ms"] / 1e3 * train["tokens_per_second"])
    if given is not None:
        each = np.where(np.isfinite(each), each, given)
    if not np.isfinite(each).all() or not len(each):
        raise ConfigError(
            f"tokens_per_step: {history.path} does not say how many tokens a step has: give --tokens-per-step"
        )
    return each


def hours_of(history):
    """Hours that each training step took."""
    ms = history.train["ms"]
    if not np.isfinite(ms).any():
        raise ConfigError(
            f"x: hours: {history.path} holds no times, as llm.c's main.log; take --x step, or tokens"
        )
    return np.where(np.isfinite(ms), ms, 0.0) / 3.6e6
