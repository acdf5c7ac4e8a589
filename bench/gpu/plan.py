"""The stages, most valuable first: their parts, each a process, and how long one may take."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

TESTS = ("tests/gpu", "tests/kernels/cuda")


class Stage(NamedTuple):
    """bench/gpu/stages/NAME.py has its run(setting, part, put); together: so many parts at once."""

    parts: Callable
    seconds: float
    together: int = 1


def whole(setting):
    """One part."""
    return ["all"]


def test_files(setting):
    """The files of tests; on the stand-in, those that `make test` does not run already."""
    folders = TESTS[:1] if setting.stand_in else TESTS
    return [str(path) for folder in folders for path in sorted(Path(folder).glob("test_*.py"))]


def batch_sizes(setting):
    """A process for each."""
    return [f"B {B}" for B in setting.batches]


def batches_in_parts(setting):
    """Two batch sizes, once in one part and once in two."""
    return [f"B {B} x {parts}" for B in sorted(setting.batches)[:2] for parts in (1, 2)]


def worlds(setting):
    """How many ranks."""
    return ["1 rank", "2 ranks"]


STAGES = {
    "smoke": Stage(whole, 60),
    "kernels": Stage(test_files, 120, together=6),
    "gradients": Stage(whole, 120),
    "curves": Stage(whole, 150),
    "steps": Stage(batch_sizes, 150),
    "launches": Stage(whole, 60),
    "memory": Stage(batches_in_parts, 60),
    "nccl": Stage(worlds, 60),
    "large": Stage(whole, 150),
}
