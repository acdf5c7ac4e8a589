"""python -m bench.ranks: what it costs that two ranks share a step, against one process on two threads.

Both take the same global batch; runs of each alternate. Then the all-reduce of the whole gradient by
itself, against its bound: two processes that copy as many bytes at once as each of them has to write; and
what ZeRO-1 leaves of the moments on a rank. --save keeps a record.
"""

import dataclasses
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import tyro

import minigpt
from bench.record import save_record
from bench.step import SMALL
from minigpt.ranks.spawn import mpiexec
from minigpt.ranks.worlds import joined

CONFIGS = {
    "gpt2": minigpt.PRESETS["gpt2"],
    "small": minigpt.GPTConfig(n_layer=4, n_head=4, n_embd=256, n_ctx=128, n_vocab=16384),
    "tiny": SMALL,
}
SHAPES = {"gpt2": (4, 64), "small": (8, 128), "tiny": (12, 64)}  # rows of the global batch, context
WAYS = {"1 x 2 threads": (1, 2, False), "2 ranks": (2, 1, False), "2 ranks, ZeRO-1": (2, 1, True)}


@dataclasses.dataclass(frozen=True)
class Options:
    """Time steps on ranks."""

    steps: int = 5
    """Timed steps of each run."""
    rounds: int = 3
    """Runs of each way."""
    model: str = "gpt2"
    """gpt2, small, or tiny, which is bench.step's small."""
    save: bool = False
    """Keep the result in bench/records."""
    rank: str = ""
    """WAY: be a rank of it; this program starts itself so."""


def be_rank(options):
    """Steps, an all-reduce and copies, timed; rank 0 prints the figures of all ranks as JSON."""
    _, threads, sharded = WAYS[options.rank]
    config, (rows, context) = CONFIGS[options.model], SHAPES[options.model]
    with joined("numpy", sharded) as world:
        trainer = minigpt.Trainer(config, minigpt.init_params(config), world=world, threads=threads)
        ids = np.random.default_rng(0).integers(0, config.n_vocab, (rows, context + 1))
        own = ids[world.rank :: world.size]
        for _ in range(2):
            trainer.step(own[:, :-1], own[:, 1:])
        steps = [timed(lambda: trainer.step(own[:, :-1], own[:, 1:])) for _ in range(options.steps)]
        held, peak = in_memory(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        gradient = trainer.state.grads.buffer
        reduces, copies = [], []
        for _ in range(options.steps):
            world.barrier()
            reduces.append(timed(lambda: world.all_reduce(gradient)))
            world.barrier()
            copies.append(timed(lambda: np.copyto(trainer.state.params.buffer, gradient)))
        medians = {
            "step_ms": 1e3 * statistics.median(steps),
            "all_reduce_ms": 1e3 * statistics.median(reduces),
            "copy_ms": 1e3 * statistics.median(copies),
            "moments_MB": (trainer.state.first.nbytes + trainer.state.second.nbytes) / 1e6,
            "gradient_MB": gradient.nbytes / 1e6,
            "held_MB": held / 1e6,
            "peak_MB": peak / 1e6,
        }
        told = world.gather(medians)
    if world.rank == 0:
        print(json.dumps({name: max(one[name] for one in told) for name in medians}))


def in_memory():
    """Bytes of this process in memory now, between two steps."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def timed(act):
    """Seconds that act() takes."""
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def figures(way, options):
    """What a run of this way prints."""
    size = WAYS[way][0]
    launcher = [mpiexec(), "-n", str(size)] if size > 1 else []
    asked = ["--rank", way, "--steps", str(options.steps), "--model", options.model]
    command = [*launcher, sys.executable, "-m", "bench.ranks", *asked]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def main():
    options = tyro.cli(Options, description=__doc__)
    if options.rank:
        return be_rank(options)
    runs = {way: [] for way in WAYS}
    for _ in range(options.rounds):
        for way in WAYS:
            runs[way].append(figures(way, options))
    rows = {
        way: {name: statistics.median(run[name] for run in found) for name in found[0]}
        for way, found in runs.items()
    }
    base = rows["1 x 2 threads"]["step_ms"]
    for way, row in rows.items():
        row["of_one_process"] = row["step_ms"] / base
        print(
            f"{way:16s} {row['step_ms']:7.0f} ms a step ({row['of_one_process']:.2f}), all-reduce "
            f"{row['all_reduce_ms']:6.1f} ms, a copy of it {row['copy_ms']:6.1f} ms, "
            f"a rank's moments {row['moments_MB']:6.0f} MB, all of it {row['held_MB']:6.0f}, at most "
            f"{row['peak_MB']:6.0f}"
        )
    if options.save:
        results = {"medians": rows, "runs": runs}
        name = f"ranks-{options.model}"
        print(save_record(Path("bench/records"), name, dataclasses.asdict(options), results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
