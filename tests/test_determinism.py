"""A run's course is a function of its command, to the last bit; campaigns of this and others, in small."""

import numpy as np
import pytest

from minigpt import train
from minigpt.kernels.cpu import team
from minigpt.workers.shares import shares_of
from tests.campaigns import determinism, guard, inputs
from tests.support.commands import TEXT

C, T = 128, 128
SIZES = {"workers": 4, "threads": 18}  # rows of a step that two processes, or two threads, share


def flags(B):
    """A small run of B rows a step."""
    return ["--n-layer", "2", "--n-head", "2", "--n-embd", str(C), "--n-vocab", "300", "--context", str(T),
            "--batch-size", str(B), "--tokens-per-step", str(B * T), "--warmup", "2"]  # fmt: skip


@pytest.mark.parametrize("B", SIZES.values(), ids=SIZES)
def test_two_runs_are_one_with_one_thread_and_with_two(B, tmp_path):
    data = tmp_path / "text.txt"
    data.write_text(TEXT)
    rows = determinism.compared([*flags(B), "--data", str(data)], 15)
    assert [row.passed for row in rows] == [True] * 3, rows
    assert [row.value[:38] for row in rows[:2]] == ["0 of 15 steps differ; weights equal, S"] * 2


@pytest.mark.parametrize("change", [(0, 1.0), (1, "other")])
def test_a_difference_would_be_seen(change):
    course = ([(1, 3.0, 1.0), (2, 2.5, 1.0)], ["a" * 64, "b" * 64])
    other = ([*course[0]], [*course[1]])
    if change[0]:
        other[1][1] = change[1]
    else:
        other[0][1] = (2, np.nextafter(2.5, 3), 1.0)
    assert determinism.same(2, course, course, 2).passed
    assert not determinism.same(2, course, other, 2).passed
    assert not determinism.same(2, course, course, 3).passed  # a step too few


def test_the_guard_s_campaign_reaches_its_goals():
    assert [row for row in guard.campaign(0.01) if not row.passed] == []


def test_the_guard_s_campaign_notices_a_guard_that_lets_all_through(monkeypatch):
    monkeypatch.setattr(train.guard, "judge", lambda *_: train.guard.Verdict(0))
    rng = np.random.default_rng(0)
    assert not guard.refused(rng, 20).passed
    assert not guard.in_a_row(rng, 5).passed


def test_the_inputs_campaign_reaches_its_goals():
    """Without its limit of time, which is for `make faults`."""
    rows = inputs.campaign(0.1)
    assert len(rows) == 6
    assert all(row.value.startswith("0 wrong of ") for row in rows), rows


@pytest.mark.parametrize("B", SIZES.values(), ids=SIZES)
def test_a_step_of_this_size_is_shared_as_its_name_says(B):
    """Else two threads would be the same as one, and the first test no test of them."""
    assert B * T * C * 4 * C > team.WORTHWHILE_PRODUCT
    assert B * T * 4 * C > team.WORTHWHILE
    shares, _ = shares_of([np.zeros((2, B, T), np.int32)], C, 2)
    assert len(shares) == (2 if B == SIZES["workers"] else 0)
