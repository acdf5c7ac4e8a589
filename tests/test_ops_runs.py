"""Whole runs of `minigpt train` by the kernels and by the plain operations: one course, but for rounding."""

import numpy as np
import pytest

from tests.campaigns.determinism import trained
from tests.support.commands import TEXT

STEPS = 60
FLAGS = ["--n-layer", "2", "--n-head", "2", "--n-embd", "128", "--n-vocab", "300", "--context", "64",
         "--batch-size", "4", "--tokens-per-step", "512", "--warmup", "5", "--threads", "2"]  # fmt: skip
WAYS = {
    "exact": ["--ops", "reference", "--dtype", "float64"],
    "plain": ["--ops", "reference"],
    "fast": ["--ops", "fast"],
    "another": ["--ops", "fast", "--seed", "1"],
}


@pytest.fixture(scope="module")
def courses(tmp_path_factory):
    """The losses and gradient norms of each run, step by step."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "text.txt").write_text(TEXT)
    flags = [*FLAGS, "--data", str(folder / "text.txt")]
    numbers = {name: trained(folder / name, [*flags, *way], STEPS)[0] for name, way in WAYS.items()}
    return {name: np.array([line[1:] for line in lines]) for name, lines in numbers.items()}


def worst_so_far(course, exact):
    """The largest difference up to each step, relative: rounding of one step is the next one's beginning."""
    return np.maximum.accumulate(np.abs(course - exact) / exact)


def test_the_kernels_course_is_the_plain_operations_course(courses):
    """As near to float64 as plain float32 is, give or take luck; before it has grown, u times some sums."""
    exact, rounding = courses["exact"], 8 * np.finfo(np.float32).eps
    plain, fast = (worst_so_far(courses[name], exact) for name in ("plain", "fast"))
    assert len(exact) == STEPS
    assert exact[-1, 0] < exact[0, 0] - 1  # they did learn
    assert (fast <= 8 * np.maximum(plain, rounding)).all(), (fast / np.maximum(plain, rounding)).max()


def test_another_course_would_be_seen(courses):
    exact = courses["exact"]
    plain, another = (worst_so_far(courses[name], exact) for name in ("plain", "another"))
    assert not (another <= 8 * np.maximum(plain, 8 * np.finfo(np.float32).eps)).all()
