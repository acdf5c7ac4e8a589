"""The stages, most valuable first: their parts, each a process, and how long one may take."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bench.gpu.tables import LIBRARIES, USUAL

TESTS = ("tests/gpu", "tests/kernels/cuda")
ALONE = "tests/gpu/test_memory.py"  # takes all of the GPU's memory
SLOW = "tests/gpu/test_sanitizer.py"


class Stage(NamedTuple):
    """bench/gpu/stages/FILE.py has its run(setting, part, put); together: so many parts at once."""

    file: str
    parts: Callable
    seconds: float
    together: int = 1


def whole(setting):
    """One part."""
    return ["all"]


def test_files(setting):
    """The files of tests that can run beside others; on the stand-in, those that `make test` does not run."""
    folders = TESTS[:1] if setting.stand_in else TESTS
    paths = [str(path) for folder in folders for path in sorted(Path(folder).glob("test_*.py"))]
    return [path for path in paths if path not in (ALONE, SLOW)]


def telling_batches(setting):
    """The largest batch, where llm.c's figure is from, and one that torch has room for in any case."""
    return [f"B {B}" for B in setting.batches[:2]]


def other_batches(setting):
    """The rest; the smallest also in float32 and with the reference operations."""
    return [f"B {B}" for B in setting.batches[2:]]


def batches_in_parts(setting):
    """Two batch sizes, once in one part and once in two; one with the libraries."""
    small = sorted(setting.batches)[:2]
    usual = [f"B {B} x {parts} {USUAL}" for B in small for parts in (1, 2)]
    return [*usual, f"B {small[0]} x 1 {LIBRARIES}"]


def two_tables(setting):
    """The table that is usual, and that of NVIDIA's libraries."""
    return [USUAL, LIBRARIES]


def worlds(setting):
    """How many ranks."""
    return ["1 rank", "2 ranks"]


STAGES = {
    "smoke": Stage("smoke", whole, 60),
    "kernels": Stage("kernels", test_files, 150, together=6),
    "gradients": Stage("gradients", whole, 120),
    "curves": Stage("curves", two_tables, 90),
    "steps": Stage("steps", telling_batches, 180),
    "launches": Stage("launches", two_tables, 60),
    "memory": Stage("memory", batches_in_parts, 40),
    "out-of-memory": Stage("kernels", lambda setting: [ALONE], 60),
    "large": Stage("large", two_tables, 90),
    "nccl": Stage("nccl", worlds, 60),
    "more-steps": Stage("steps", other_batches, 120),
    "sanitizers": Stage("kernels", lambda setting: [SLOW], 240),
}
