"""python -m bench.save: what checkpoints cost a run that goes on while they are written.

Steps with a save under way are timed against steps without, in turn; what the run stands still for (the copy)
and what its steps lose to the writer's thread are added up and set against the steps between two checkpoints.
--save keeps a record.
"""

import dataclasses
import shutil
import statistics
import time
from pathlib import Path

import numpy as np
import tyro

import minigpt
from bench.record import save_record
from minigpt import checkpoint
from minigpt.options import Recipe
from minigpt.recipe import model_config, optimizer_config, resolved
from minigpt.saver import Saver

# name -> (recipe, rows of a step, context, steps with and without)
RUNS = {"small": ("small", 8, 128, 40), "gpt2": ("gpt2", 4, 64, 8)}


@dataclasses.dataclass(frozen=True)
class Options:
    """Measure how much saving stalls training."""

    out: Path = Path("runs/bench-save")
    """A folder for checkpoints; on the disk that is to be measured, and deleted afterwards."""
    repeats: int = 3
    """Saves of each run."""
    save: bool = False
    """Keep the result in bench/records."""


def trainer_of(preset):
    """A Trainer as `minigpt train` makes it."""
    n_vocab = 16384 if preset == "small" else None
    recipe = resolved(Recipe(preset=preset, n_vocab=n_vocab))
    recipe = dataclasses.replace(recipe, n_vocab=recipe.n_vocab or 50257)
    config = model_config(recipe)
    params = minigpt.init_params(config)
    return recipe, config, minigpt.Trainer(config, params, **vars(optimizer_config(recipe)))


def measure(preset, rows, context, steps, options):
    """The figures of one run."""
    recipe, config, trainer = trainer_of(preset)
    tokens = np.random.default_rng(0).integers(0, config.n_vocab, (rows, context + 1))
    batch = tokens[:, :-1], tokens[:, 1:]
    files = checkpoint.files_of(minigpt.Tokenizer.gpt2())

    def timed():
        start = time.perf_counter()
        trainer.step(*batch)
        return time.perf_counter() - start

    for _ in range(3):
        timed()
    turns = [turn(trainer, config, files, timed, steps, options.out) for _ in range(options.repeats)]
    plain = statistics.median(one["plain"] for one in turns)
    lost = statistics.median(one["copy"] + one["slower"] for one in turns)
    return {
        "step_ms": 1e3 * plain,
        "copy_ms": 1e3 * statistics.median(one["copy"] for one in turns),
        "slower_ms": 1e3 * statistics.median(one["slower"] for one in turns),
        "writing_s": statistics.median(one["writing"] for one in turns),
        "bytes": turns[0]["bytes"],
        "checkpoint_every": recipe.checkpoint_every,
        "stall": lost / (recipe.checkpoint_every * plain),
        "stalls_of_all_repeats": [
            (one["copy"] + one["slower"]) / (recipe.checkpoint_every * one["plain"]) for one in turns
        ],
    }


def turn(trainer, config, files, timed, steps, out):
    """Steps without a save, and then through one until it is written."""
    plain = statistics.median(timed() for _ in range(steps))
    out.mkdir(parents=True, exist_ok=True)
    times = {}

    def write(taken):
        start = time.perf_counter()
        path = checkpoint.write(out, taken)
        times["writing"], times["bytes"] = time.perf_counter() - start, taken.size
        return path

    with Saver(write, print) as saver:
        saver.save(trainer.state.step, lambda: checkpoint.snapshot(config, trainer.state, {}, files))
        during = []
        while "writing" not in times:
            during.append(timed())
    shutil.rmtree(out)
    slower = sum(during) - len(during) * plain
    return {"plain": plain, "copy": saver.held_up, "slower": slower, **times}


def main():
    """Print the table, write the record."""
    options, results = tyro.cli(Options), {}
    print("run      step ms   copy ms   slower ms   writing s        MB   stall of a run's time")
    for name, (preset, rows, context, steps) in RUNS.items():
        found = results[name] = measure(preset, rows, context, steps, options)
        print(
            f"{name:6} {found['step_ms']:9.0f} {found['copy_ms']:9.1f} {found['slower_ms']:11.1f} "
            f"{found['writing_s']:11.2f} {found['bytes'] / 1e6:9.1f}   {found['stall']:.2%}"
        )
    if options.save:
        print(save_record(Path("bench/records"), "save", {"repeats": options.repeats}, results))


if __name__ == "__main__":
    main()
