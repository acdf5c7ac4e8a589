"""python -m bench.blas: OpenBLAS's kernels against each other in a block of GPT-2 124M, forward and backward.

The block is our own, cut as training cuts it: every thread with BLAS at one. Each kind of kernels has a
process of its own, as the choice is made when NumPy is loaded; they take turns. What minigpt chooses by
itself is in minigpt/blas.py.
"""

import dataclasses
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import tyro

from bench.record import save_record

KINDS = ("Haswell", "SkylakeX")  # AVX2, AVX-512
SHAPES = {"B4 T64": (4, 64), "B1 T1024": (1, 1024)}
REST = 0.1  # seconds; the other process's threads stay awake for a while
PROGRAM = """
import sys, time
import numpy as np
from threadpoolctl import threadpool_info
from minigpt import PRESETS, kernels
from minigpt.arrays import Flat
from minigpt.model import param_shapes, within
config = PRESETS["gpt2"]
shapes = within(param_shapes(config), "h.0.")
params, grads = Flat.zeros(shapes), Flat.zeros(shapes)
params.buffer[:] = np.random.default_rng(0).normal(0, 0.02, params.buffer.size)
ops = kernels.table("fast", "float32", int(sys.argv[1]))
print(threadpool_info()[0].get("architecture"), flush=True)
for line in sys.stdin:
    B, T = map(int, line.split())
    x, dy = np.random.default_rng(1).normal(size=(2, B, T, config.n_embd)).astype(np.float32)
    tries = []
    with ops.session():
        for _ in range(3):
            start = time.perf_counter()
            _, tape = ops.block_forward(ops, params, x, config.n_head)
            _, gradients = ops.block_backward(ops, dy, tape)
            ops.collect(gradients.items(), into=grads, add=False)
            tries.append(time.perf_counter() - start)
    print(min(tries), flush=True)
"""


@dataclasses.dataclass(frozen=True)
class Options:
    """Time blocks."""

    repeats: int = 9
    """Rounds."""
    threads: int = 2
    """Threads of the kernels."""
    save: bool = False
    """Keep the result in bench/records."""


def started(kind, threads):
    """A process with these kernels, and what OpenBLAS calls them."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(threads)],
        env=os.environ | {"OPENBLAS_CORETYPE": kind},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    return process, process.stdout.readline().strip()


def asked(process, shape):
    """Seconds of a block: the best of some."""
    time.sleep(REST)
    process.stdin.write("{} {}\n".format(*shape))
    process.stdin.flush()
    return float(process.stdout.readline())


def main():
    options = tyro.cli(Options, description=__doc__)
    processes = {kind: started(kind, options.threads) for kind in KINDS}
    results = {}
    for name, shape in SHAPES.items():
        found = {kind: [] for kind in KINDS}
        for _ in range(2 + options.repeats):
            for kind, (process, _) in processes.items():
                found[kind].append(asked(process, shape))
        medians = {kind: statistics.median(seconds[2:]) for kind, seconds in found.items()}  # two warm up
        results[name] = {f"{kind}_ms": 1e3 * seconds for kind, seconds in medians.items()}
        print(name, *(f"{kind} {1e3 * seconds:.1f} ms" for kind, seconds in medians.items()), sep="  ")
    for process, name in processes.values():
        process.communicate()
        results.setdefault("architectures", []).append(name)
    if options.save:
        print(save_record(Path(__file__).parent / "records", "blas", dataclasses.asdict(options), results))


if __name__ == "__main__":
    main()
