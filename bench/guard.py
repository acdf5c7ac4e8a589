"""python -m bench.guard [METRICS.JSONL...]: how often the spike guard refuses a step that is no spike.

Losses and norms of imagined runs of several kinds, and of real ones (a run's metrics.jsonl), go through the
guard as it is, at several limits. A false alarm is a refused step; where spikes are planted, they are counted
apart. --save writes a record.
"""

import argparse
import json
import math
import sys
from pathlib import Path

import numpy as np

from bench.record import save_record
from minigpt.guard import NEW_LEVEL, PATIENCE, REMEMBERED, SPIKE, Window, after, judge

LIMITS = (3.0, 4.0, 5.0, 6.0, 8.0)
STEPS = 100_000


def gaussian(rng, n):
    """Losses and norms that scatter evenly."""
    return 3 + 0.1 * rng.normal(size=n), 1 + 0.1 * rng.normal(size=n)


def heavy(rng, n):
    """Student's t of 5 degrees: one in 27,000 is beyond 8 of its scales."""
    return 3 + 0.1 * rng.standard_t(5, n), 1 + 0.1 * rng.standard_t(5, n)


def log_normal(rng, n):
    """Norms that scatter by a factor, as gradients' do, lopsided: exp of a normal of 0.3."""
    return 3 + 0.1 * rng.normal(size=n), np.exp(0.3 * rng.normal(size=n))


def falling(rng, n):
    """A run that learns: down by a power of the step, evenly scattered."""
    steps = np.arange(1, n + 1)
    return 3 + 7 * steps**-0.3 + 0.1 * rng.normal(size=n), 0.5 + steps**-0.2 + 0.1 * rng.normal(size=n)


def batches_of_two_kinds(rng, n):
    """One batch in ten is of text that is harder: a second peak, four spreads above the first."""
    harder = 0.4 * (rng.random(n) < 0.1)
    return 3 + harder + 0.1 * rng.normal(size=n), 1 + harder + 0.1 * rng.normal(size=n)


def a_new_level(rng, n):
    """From the middle on, data of another kind: ten spreads up, for good."""
    later = 1.0 * (np.arange(n) >= n // 2)
    return 3 + later + 0.1 * rng.normal(size=n), 1 + later + 0.1 * rng.normal(size=n)


KINDS = (gaussian, heavy, log_normal, falling, batches_of_two_kinds, a_new_level)


def verdicts(losses, norms, limit):
    """The kind of every step's verdict, by the guard as it is."""
    window, kinds = Window(), []
    for loss, norm in zip(losses.tolist(), norms.tolist(), strict=True):
        verdict = judge(window, loss, norm, limit)
        window = after(window, verdict, loss, norm)
        kinds.append(verdict.kind)
    return kinds


def counts(losses, norms, limit):
    """How many steps were judged, refused, and accepted as a new level."""
    kinds = verdicts(losses, norms, limit)
    judged = max(0, len(kinds) - REMEMBERED)
    return {"judged": judged, "refused": kinds.count(SPIKE), "new_levels": kinds.count(NEW_LEVEL)}


def missed(limit, trials, rng):
    """Of spikes one spread above the limit in each of so many windows, how many were let through."""
    let_through = 0
    for _ in range(trials):
        losses, norms = gaussian(rng, REMEMBERED)
        window = Window(tuple(losses.tolist()), tuple(norms.tolist()))
        spike = losses.mean() + (limit + 1) * losses.std(ddof=1)
        let_through += judge(window, float(spike), 1.0, limit).accepted
    return {"trials": trials, "missed": let_through}


def recorded(path):
    """Losses and norms of a run's metrics.jsonl, later lines winning."""
    steps = {}
    for line in path.read_text().splitlines():
        numbers = json.loads(line)
        if "loss" in numbers:
            steps[numbers["step"]] = numbers["loss"], numbers["norm"]
    pairs = np.array([steps[step] for step in sorted(steps)])
    return pairs[:, 0], pairs[:, 1]


def largest(losses, norms):
    """The largest z of loss and of norm among the steps that are judged, if none is refused."""

    def highest(values):
        zs = []
        for at in range(REMEMBERED, len(values)):
            before = values[at - REMEMBERED : at]
            zs.append((values[at] - before.mean()) / before.std(ddof=1))
        return max(zs, default=math.nan)

    return {"loss": highest(losses), "norm": highest(norms)}


def main():
    """Print the table; with --save, write the record."""
    parser = argparse.ArgumentParser(prog="python -m bench.guard")
    parser.add_argument("metrics", nargs="*", type=Path)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--save", action="store_true")
    options = parser.parse_args()
    results = {}
    runs = {kind.__name__: kind(np.random.default_rng(1), options.steps) for kind in KINDS}
    real = {f"run {path.resolve().parent.name}": recorded(path) for path in options.metrics}
    runs |= real
    print(f"{'run':28}" + "".join(f"{f'z > {limit:g}':>16}" for limit in LIMITS) + "   refused of judged")
    for name, (losses, norms) in runs.items():
        of_run = {f"{limit:g}": counts(losses, norms, limit) for limit in LIMITS}
        results[name] = of_run | {"largest_z": largest(losses, norms)} if name in real else of_run
        cells = [f"{found['refused']}/{found['judged']}" for found in of_run.values()]
        print(f"{name:28}" + "".join(f"{cell:>16}" for cell in cells), flush=True)
    results["missed"] = {f"{limit:g}": missed(limit, 10_000, np.random.default_rng(2)) for limit in LIMITS}
    print(f"missed spikes: {results['missed']}")
    if options.save:
        shown = {"steps": options.steps, "remembered": REMEMBERED, "patience": PATIENCE}
        print(save_record(Path("bench/records"), "guard", shown, results))


if __name__ == "__main__":
    sys.exit(main())
