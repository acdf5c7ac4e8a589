"""python -m bench.ops: where a training step's time goes, by operation, each without what it calls itself.

The kernels' block is one operation; the reference's is made of its parts. Gradients of weights, which the
kernels write where they belong, are counted as `collect`. What goes on inside the kernels' blocks is timed in
further steps, as what a thread spends on it, on average. --save keeps a record.
"""

import collections
import contextlib
import dataclasses
import statistics
import time
from pathlib import Path
from unittest import mock

import numpy as np
import tyro

import minigpt
from bench.record import save_record
from bench.step import SETTINGS
from minigpt import kernels
from minigpt.comm import Alone
from minigpt.config import OptimizerConfig
from minigpt.kernels.cpu import attention, block, gelu, layernorm
from minigpt.train import new_state, train_step

INSIDE = {
    attention: ("attend", "attend_back"),
    block: ("project", "column_sums"),
    gelu: ("value", "value_and_slope"),
    layernorm: ("normalise", "scaled", "slope"),
}  # besides these a block is the products of its backward pass, sums of branches, and waiting


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


@contextlib.contextmanager
def inside(seconds):
    """Note the seconds that all threads together spend in each function of INSIDE."""

    def timed(name, function):
        def wrapped(*arguments, **options):
            start = time.perf_counter()
            result = function(*arguments, **options)
            seconds[name].append(time.perf_counter() - start)  # a list's append is one step for all threads
            return result

        return wrapped

    with contextlib.ExitStack() as stack:
        for module, names in INSIDE.items():
            for name in names:
                label = f"{module.__name__.rpartition('.')[2]}.{name}"
                wrapper = timed(label, getattr(module, name))
                stack.enter_context(mock.patch.object(module, name, wrapper))
        yield


def profile_inside(setting, options):
    """Milliseconds a step that a thread spends in each function of INSIDE, on average."""
    config, B, T = SETTINGS[setting]
    trainer = minigpt.Trainer(config, minigpt.init_params(config), threads=options.threads)
    trainer.train_step = train_step  # by threads, which are timed here, where else workers would be at work
    batch = np.random.default_rng(1).integers(0, config.n_vocab, (2, B, T))
    seconds, steps = collections.defaultdict(list), options.repeats * (10 if config.n_layer < 12 else 1)
    with inside(seconds):
        for step in range(2 + steps):
            if step == 2:  # the first two warm up
                seconds.clear()
            trainer.step(*batch)
    return {name: 1e3 * sum(parts) / steps / trainer.ops.threads for name, parts in seconds.items()}


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
        if "fast" in options.ops:
            found = profile_inside(setting, options)
            results[f"{setting}, inside blocks"] = dict(sorted(found.items(), key=lambda item: -item[1]))
            for name, ms in results[f"{setting}, inside blocks"].items():
                print(f"{ms:12.2f} ms a thread, {name}", flush=True)
    if options.save:
        print(save_record(Path(__file__).parent / "records", "ops", dataclasses.asdict(options), results))


if __name__ == "__main__":
    main()
