"""The lines of a run's view: never wider than the terminal, and true to the losses."""

import math
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigpt.view import BLOCKS, FULL, KEPT, LOST, PLAIN_BLOCKS, View, bar, sparkline


def seen(losses, steps=1000, spent=1.5):
    view = View()
    for step, loss in enumerate(losses, start=1):
        view.step(step, steps, SimpleNamespace(loss=loss, norm=1.0, lr=1e-3), 0.25, 1024, 0.5, 61.0, spent)
    return view


LOSSES = st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=200)


@given(losses=LOSSES, width=st.integers(1, 200), plain=st.booleans(), spent=st.none() | st.floats(0, 1e9))
def test_no_line_is_wider_than_the_terminal(losses, width, plain, spent):
    lines = seen(losses, spent=spent).lines(width, plain)
    assert 1 <= len(lines) <= 3
    assert all(0 < len(line) <= width for line in lines)
    assert not plain or all(line.isascii() for line in lines)
    assert all(line.isprintable() for line in lines)


def test_what_is_shown():
    progress, loss, figures = seen([9.0, 8.0, 7.0], steps=12).lines(80)
    assert progress.startswith(f"step 3/12  {FULL}")
    assert progress.endswith("   25%  1m01s left")
    assert loss == "loss 7.0000  █▅▁  from 9.00".replace("█▅▁", sparkline([9.0, 8.0, 7.0], 50))
    assert figures == "4,096 tok/s  mfu 50%  $1.50 so far  250 ms  norm 1.00  lr 1.00e-03"
    assert "$" not in " ".join(seen([9.0], spent=None).lines(80))
    assert View().lines(80) == []
    assert seen([9.0], steps=12).lines(20) == ["1/12 9.0000 1m01s"]


def test_a_narrow_terminal_keeps_what_is_of_most_use():
    view = seen([9.0, 8.0], steps=12)
    assert view.lines(40)[2] == "4,096 tok/s  mfu 50%  $1.50 so far"
    assert "from" not in view.lines(40)[1]


@given(share=st.floats(0, 1), width=st.integers(0, 100))
def test_a_bar_is_filled_to_its_share(share, width):
    assert len(bar(share, width)) == len(bar(share, width, plain=True)) == width
    assert bar(share, width).count(FULL) == int(8 * width * share) // 8
    assert bar(share, width, plain=True).count("#") == int(2 * width * share) // 2


@given(values=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300), width=st.integers(1, 120))
def test_a_curve_orders_its_columns_as_its_values_are(values, width):
    line = sparkline(values, width)
    assert len(line) == min(len(values), width)
    if len(values) <= width:
        heights = [BLOCKS.index(block) for block in line]
        order = sorted(range(len(values)), key=values.__getitem__)
        assert [heights[place] for place in order] == sorted(heights)
        assert line[order[0]] == BLOCKS[0]


def test_great_losses_at_the_start_leave_room_for_the_rest():
    line = sparkline([100.0, 50.0] + [3 - 0.01 * step for step in range(100)], 102)
    assert line[:2] == BLOCKS[-1] * 2
    assert len(set(line[10:])) == len(BLOCKS)


def test_a_loss_that_is_no_number_is_marked_and_spoils_nothing():
    assert (
        sparkline([2.0, math.nan, 1.0, math.inf], 10)
        == BLOCKS[-1].replace(BLOCKS[-1], line_of(2)) + LOST + "▁" + LOST
    )
    assert sparkline([math.nan] * 3, 10) == LOST * 3
    assert set(sparkline([1.0, 2.0, 3.0], 10, plain=True)) <= set(PLAIN_BLOCKS)


def line_of(value):
    return sparkline([value, 1.0], 10)[0]


@given(n=st.integers(1, 5 * KEPT))
def test_a_long_run_keeps_means_of_all_steps(n):
    view = seen([float(step) for step in range(n)], steps=n)
    assert len(view.losses) <= KEPT
    kept = [*view.losses, *([] if not view.part else [sum(view.part) / len(view.part)])]
    weights = [view.each] * len(view.losses) + ([len(view.part)] if view.part else [])
    assert sum(weights) == n
    assert sum(w * x for w, x in zip(weights, kept, strict=True)) == pytest.approx(n * (n - 1) / 2)
