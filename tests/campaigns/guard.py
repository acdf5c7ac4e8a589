"""What the guard lets through, what it refuses wrongly, and whether a replay names what was planted."""

import json
import math
import tempfile

import numpy as np

from bench.guard import counts, falling, gaussian, missed
from minigpt import Trainer, rejected
from minigpt.guard import NOT_FINITE, PATIENCE
from minigpt.traced import traced
from tests.campaigns import Row
from tests.support.models import HOW, TINY, random_batch, random_params

LIMIT = 6.0


def campaign(scale=1.0):
    """All of the guard's goals."""
    rng = np.random.default_rng(7)
    return [
        refused(rng, max(20, round(2000 * scale))),
        in_a_row(rng, max(5, round(100 * scale))),
        named(rng, max(20, round(1000 * scale))),
        false_alarms(max(2000, round(200_000 * scale))),
        spikes(max(100, round(20_000 * scale))),
    ]


def poisoned(rng, params):
    """Put NaN or infinity in one place, which a step of the whole context surely meets; (name, index)."""
    name = rng.choice(list(params))
    index = tuple(int(rng.integers(size)) for size in params[name].shape)
    params[name][index] = rng.choice([math.nan, math.inf, -math.inf])
    return str(name), index


def state_of(trainer):
    """All that a refused step must leave alone."""
    state = trainer.state
    arrays = (state.params.buffer, state.first, state.second)
    return [array.tobytes() for array in arrays], state.updates, state.guard.losses, state.guard.norms


def refused(rng, trials):
    """Steps with a NaN or an infinity somewhere: weights, moments and window are as they were."""
    wrong = 0
    for trial in range(trials):
        trainer = Trainer(TINY, random_params(TINY, trial, "float32"), threads=1)
        batch = random_batch(TINY, 2, TINY.n_ctx, trial)
        trainer.step_in_parts([batch])
        poisoned(rng, trainer.params)
        before = state_of(trainer)
        with np.errstate(all="ignore"):
            report = trainer.step_in_parts([batch])
        wrong += report.verdict.kind != NOT_FINITE or state_of(trainer) != before
    goal = "step with NaN or infinity: refused; weights, moments, window bit-identical"
    return Row(goal, "0 wrong", f"{wrong} wrong of {trials}", wrong == 0)


def in_a_row(rng, trials):
    """The third in a row, and not an earlier one, is one too many, whatever was accepted before."""
    wrong = 0
    for trial in range(trials):
        trainer = Trainer(TINY, random_params(TINY, trial, "float32"), threads=1)
        batch = random_batch(TINY, 2, TINY.n_ctx, trial)
        for _ in range(rng.integers(4)):
            trainer.step_in_parts([batch])
        poisoned(rng, trainer.params)
        in_row = []
        with np.errstate(all="ignore"):
            for _ in range(PATIENCE):
                trainer.step_in_parts([batch])
                in_row.append(trainer.state.guard.not_finite >= PATIENCE)
        wrong += in_row != [False] * (PATIENCE - 1) + [True]
    return Row("three in a row stop a run, no fewer", "0 wrong", f"{wrong} wrong of {trials}", wrong == 0)


def named(rng, trials):
    """Replays of kept steps: the parameter that was poisoned, and its place."""
    wrong = []
    for trial in range(trials):
        trainer = Trainer(TINY, random_params(TINY, trial, "float32"), threads=1)
        planted = poisoned(rng, trainer.params)
        batch = random_batch(TINY, 2, TINY.n_ctx, trial)
        with tempfile.TemporaryDirectory() as folder:
            kept = rejected.load(rejected.keep(folder, trainer, [batch], HOW, "loss is nan"))
        trace = traced(kept.config, kept.params, kept.batches, float(np.finfo(np.float32).max))
        if trace.parameter is None or (trace.parameter.name, trace.parameter.found.place) != planted:
            wrong.append(planted)
    value = f"{len(wrong)} wrong of {trials}{': ' + json.dumps(wrong[:1]) if wrong else ''}"
    return Row("replay names the parameter that was poisoned", "0 wrong", value, not wrong)


def false_alarms(steps):
    """Steps refused in runs without spikes."""
    found = [counts(*kind(np.random.default_rng(1), steps), LIMIT) for kind in (gaussian, falling)]
    n, judged = (sum(one[name] for one in found) for name in ("refused", "judged"))
    value = f"{n} of {judged:,} steps"
    return Row("false alarms of the spike guard at z > 6, even scatter", "at most 1 in 100,000", value,
               n <= judged / 100_000)  # fmt: skip


def spikes(trials):
    """Spikes beyond the limit that were let through."""
    found = missed(LIMIT, trials, np.random.default_rng(2))
    value = f"{found['missed']} missed of {trials:,}"
    return Row("spikes one spread beyond z = 6", "0 missed", value, found["missed"] == 0)
