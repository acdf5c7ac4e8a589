"""Two runs of one command are the same run: every loss, every norm, every byte of the weights and moments."""

import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.campaigns import Row

STEPS = 1000
WINDOWS = ["--batch-size", "1", "--tokens-per-step", "128"]  # an eighth of the default run's step
LOOKS = ["--sample-every", "0", "--eval-every", "0", "--eval-tokens", "2048", "--checkpoint-every", "1000000"]
FILES = ("model.safetensors", "optimizer.safetensors")


def campaign(scale=1.0):
    """The default run's model for 1,000 smaller steps, twice with one thread and twice with two."""
    steps = max(2, round(STEPS * scale))
    return compared([*WINDOWS, "--warmup", str(min(80, steps // 2))], steps)


def compared(flags, steps):
    """Rows of two runs with one thread, two with two, and one against two."""
    with tempfile.TemporaryDirectory() as folder:
        course = {}
        for threads in (1, 2):
            for again in "ab":
                out = Path(folder) / f"{threads}{again}"
                course[threads, again] = trained(out, [*flags, "--threads", str(threads)], steps)
        rows = [same(threads, course[threads, "a"], course[threads, "b"], steps) for threads in (1, 2)]
        return [*rows, between(course[1, "a"], course[2, "a"])]


def trained(out, flags, steps):
    """(losses and norms by step, SHA-256 of weights and moments) of a run in a process of its own."""
    words = ["train", "--out", str(out), "--steps", str(steps), *LOOKS, *flags]
    command = [sys.executable, "-m", "minigpt", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"minigpt {' '.join(words)}: {done.returncode}: {done.stderr}")
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    numbers = [(line["step"], line["loss"], line["norm"]) for line in lines if "loss" in line]
    folder = out / f"step_{steps:08d}"
    return numbers, [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILES]


def same(threads, one, other, steps):
    """Whether two runs are one, to the last bit."""
    differing = sum(a != b for a, b in zip(one[0], other[0], strict=True))
    equal = sum(a == b for a, b in zip(one[1], other[1], strict=True))
    passed = differing == 0 and equal == len(FILES) and len(one[0]) == steps
    value = f"{differing} of {len(one[0])} steps differ; weights {'equal' if equal == 2 else 'differ'}"
    return Row(f"two runs of {steps} steps, {threads} thread{'s'[: threads > 1]}",
               "losses, norms, SHA-256 of weights and moments identical",
               f"{value}, SHA-256 {one[1][0][:12]}", passed)  # fmt: skip


def between(one, two):
    """What another number of threads changes: sums are cut elsewhere, so nothing is required."""
    gaps = [abs(a[1] - b[1]) for a, b in zip(one[0], two[0], strict=True)]
    if not any(gaps) and one[1] == two[1]:
        value = "identical"
    else:
        first = next((a[0] for a, gap in zip(one[0], gaps, strict=True) if gap), None)
        losses = f"losses from step {first} on, by {max(gaps):.2g} at most" if first else "losses do not"
        value = f"weights differ; {losses}"
    return Row("one thread against two", "nothing: said here", value, True)
