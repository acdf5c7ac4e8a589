"""python -m bench.blas: OpenBLAS's kernels against each other on the products of a GPT-2 124M step.

Each kind of kernels has a process of its own, as the choice is made when NumPy is loaded; they take turns.
What minigpt chooses by itself is in minigpt/blas.py.
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
ROWS = (256, 1024)
REST = 0.1  # seconds; the other process's threads stay awake for a while
PROGRAM = """
import sys, time
import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits
C, threads = 768, int(sys.argv[1])
print(threadpool_info()[0].get("architecture"))
shapes = [(C, 3 * C), (C, C), (C, 4 * C), (4 * C, C)]  # in, out
with threadpool_limits(threads, "blas"):
    while rows := int(sys.stdin.readline() or 0):
        seconds = 0
        for i, o in shapes:
            x, w, y, dw = (np.ones(shape, np.float32) for shape in ((rows, i), (i, o), (rows, o), (i, o)))
            for a, b, out in ((x, w, y), (y, w.T, x), (x.T, y, dw)):  # forward, dx, dweight
                tries = []
                for _ in range(5):
                    start = time.perf_counter()
                    np.matmul(a, b, out=out)
                    tries.append(time.perf_counter() - start)
                seconds += min(tries)
        print(sum(6 * rows * i * o for i, o in shapes) / seconds, flush=True)
"""


@dataclasses.dataclass(frozen=True)
class Options:
    """Time products."""

    repeats: int = 9
    """Rounds."""
    threads: int = 2
    """Threads of BLAS."""
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


def asked(process, rows):
    """Operations a second of all products of a block with so many rows."""
    time.sleep(REST)
    process.stdin.write(f"{rows}\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def main():
    options = tyro.cli(Options, description=__doc__)
    processes = {kind: started(kind, options.threads) for kind in KINDS}
    results = {}
    for rows in ROWS:
        found = {kind: [] for kind in KINDS}
        for _ in range(2 + options.repeats):
            for kind, (process, _) in processes.items():
                found[kind].append(asked(process, rows))
        medians = {kind: statistics.median(figures[2:]) for kind, figures in found.items()}  # two warm up
        results[f"{rows} rows"] = {f"{kind}_gflops": rate / 1e9 for kind, rate in medians.items()}
        print(
            f"{rows} rows", *(f"{kind} {rate / 1e9:.0f} GFLOP/s" for kind, rate in medians.items()), sep="  "
        )
    for process, name in processes.values():
        process.communicate("0\n")
        results.setdefault("architectures", []).append(name)
    if options.save:
        print(save_record(Path(__file__).parent / "records", "blas", dataclasses.asdict(options), results))


if __name__ == "__main__":
    main()
