"""python -m bench.ops: where a training step's time goes, by operation, each without what it calls itself.

The kernels' block is one operation; the reference's is made of its parts. Gradients of weights, which the
kernels write where they belong, are counted as `collect`. --save keeps a record.
"""

import collections
import dataclasses
import statistics
import time
from pathlib import Path

import numpy as np
import tyro

import minigpt
from bench.record import save_record
from bench.step import SETTINGS
from minigpt import kernels
from minigpt.comm import Alone
from minigpt.config import OptimizerConfig
from minigpt.train import new_state, train_step

NAMES = (*kernels.REFERENCE, "the rest")


@dataclasses.dataclass(frozen=True)
class Options:
    """Time each operation of training steps."""

    settings: tuple[str, ...] = tuple(SETTINGS)
    """Which of bench.step's settings."""
    ops: tuple[str, ...] = ("fast",)
    """fast, reference or both."""
    repeats: int = 5
    """Timed steps; ten times as many of the small model."""
    threads: int = 2
    """Threads of the kernels."""
    save: bool = False
    """Keep the result in bench/records."""


class Timed:
    """An ops table that notes the seconds in each operation, less those in operations that it calls."""

    def __init__(self, table):
        self.seconds, self.inner = collections.Counter(), [0.0]
        for name, entry in vars(table).items():
            setattr(self, name, self.timed(name, entry) if name in kernels.REFERENCE else entry)

    def timed(self, name, entry):
        def operation(*arguments, **options):
            self.inner.append(0.0)
            start = time.perf_counter()
            result = entry(*arguments, **options)
            elapsed = time.perf_counter() - start
            self.seconds[name] += elapsed - self.inner.pop()
            self.inner[-1] += elapsed
            return result

        return operation


def profile(setting, ops, options):
    """Median milliseconds of each operation in a step."""
    config, B, T = SETTINGS[setting]
    table = Timed(kernels.table(ops, "float32", options.threads))
    state = new_state(minigpt.init_params(config))
    batch = np.random.default_rng(1).integers(0, config.n_vocab, (2, B, T))
    rounds = []
    for _ in range(2 + options.repeats * (10 if config.n_layer < 12 else 1)):
        table.seconds.clear()
        start = time.perf_counter()
        with table.session():
            state, _ = train_step(config, OptimizerConfig(), table, Alone(), state, [tuple(batch)])
        table.seconds["the rest"] = time.perf_counter() - start - table.seconds.total()
        rounds.append(dict(table.seconds))
    names = {name for one in rounds for name in one}
    return {name: 1e3 * statistics.median(one.get(name, 0) for one in rounds[2:]) for name in names}


def main():
    options = tyro.cli(Options, description=__doc__)
    results = {}
    for setting in options.settings:
        for ops in options.ops:
            found = profile(setting, ops, options)
            results[f"{setting}, {ops}"] = dict(sorted(found.items(), key=lambda item: -item[1]))
            print(f"{setting}, {ops}: {sum(found.values()):.1f} ms")
            for name, ms in results[f"{setting}, {ops}"].items():
                print(f"{ms:12.2f} ms {ms / sum(found.values()):5.0%}  {name}", flush=True)
    if options.save:
        print(save_record(Path(__file__).parent / "records", "ops", dataclasses.asdict(options), results))


if __name__ == "__main__":
    main()
