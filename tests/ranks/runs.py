"""Runs of `minigpt train` on real ranks, in which something happens to one of them."""

import os
import time
from typing import NamedTuple

from tests.ranks.mpiexec import processes_of, rank_of, started

WORDS = "the state of the union is what it was in the year before this one, and so are we. "


def flags(folder, out, **changes):
    """A run of 12 steps in float64, as a dictionary of flags."""
    text = folder / "text.txt"
    text.write_text("".join(f"{i} {WORDS}" for i in range(300)), encoding="utf-8")
    return {
        "n_layer": 1, "n_head": 2, "n_embd": 16, "context": 16, "n_vocab": 300, "data": str(text),
        "steps": 12, "batch_size": 2, "tokens_per_step": 384, "warmup": 2, "sample_every": 0,
        "checkpoint_every": 4, "eval_every": 6, "dtype": "float64", "threads": 1, "compare_every": 5,
        "layers_every": 3, "out": str(folder / out), **changes,
    }  # fmt: skip


def command(asked):
    """The command line of a run."""
    pairs = [("--" + name.replace("_", "-"), str(value)) for name, value in asked.items()]
    return ["-m", "minigpt", "train", *(word for pair in pairs for word in pair)]


class Outcome(NamedTuple):
    """How a run ended after one rank was sent a signal."""

    code: int
    out: str
    err: str
    seconds: float
    process: int  # the rank that the signal was for


def signalled(folder, size, number, rank, wait, patience=4, **changes):
    """Send one rank a signal some seconds after the first step of a long run, and wait for the end."""
    asked = flags(folder, "run", steps=100_000, dtype="float32") | changes
    process = started(size, *command(asked), bufsize=1, env={"MINIGPT_PATIENCE": str(patience)})
    for line in process.stdout:
        if line.startswith("step") and "loss" in line:
            break
    time.sleep(wait)
    (one,) = (pid for pid in processes_of(str(folder)) if rank_of(pid) == rank)
    os.kill(one, number)
    start = time.monotonic()
    out, err = process.communicate(timeout=90)
    return Outcome(process.returncode, out, err, time.monotonic() - start, one)
