"""The guard: what it refuses, what it remembers, and that it never refuses for good."""

import json
import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigpt import guard
from minigpt.config import OptimizerConfig
from minigpt.guard import FINE, NEW_LEVEL, NOT_FINITE, PATIENCE, REMEMBERED, SPIKE, Window, after, judge
from minigpt.train import new_state
from minigpt.trainer import Trainer
from tests.support.models import TINY, random_batch, random_params
from tests.test_train import step_once, weights, with_bad_gradient

FULL = Window(tuple(3 + 0.01 * (i % 7) for i in range(REMEMBERED)), (1.0, 1.1) * (REMEMBERED // 2))
finite = st.floats(-1e6, 1e6)


def course(values, limit, window=FULL):
    """The verdicts' kinds on losses that follow each other, and the window at the end."""
    kinds = []
    for loss in values:
        verdict = judge(window, loss, 1.05, limit)
        window = after(window, verdict, loss, 1.05)
        kinds.append(verdict.kind)
    return kinds, window


def threshold(values, limit):
    return statistics.fmean(values) + limit * statistics.stdev(values)


@pytest.mark.parametrize("name", ["losses", "norms"])
def test_a_spike_is_what_is_more_than_so_many_standard_deviations_above(name):
    edge = threshold(getattr(FULL, name), 6)
    for value, kind in ((edge - 1e-9, FINE), (edge + 1e-9, SPIKE), (-100.0, FINE)):
        loss, norm = (value, 1.05) if name == "losses" else (3.0, value)
        assert judge(FULL, loss, norm, 6.0).kind == kind
        assert judge(FULL, loss, norm).kind == FINE  # off


def test_the_reason_says_what_leapt_from_where():
    reason = judge(FULL, 4.0, 1.05, 6.0).reason
    assert reason == ("loss 4 is more than 6 standard deviations (0.02) above 3.03, "
                      "the mean of the last 128 accepted steps")  # fmt: skip
    assert judge(FULL, 3.0, 9.0, 6.0).reason.startswith("gradient norm 9 is more than 6 ")


def test_nothing_is_a_spike_before_the_window_is_full():
    kinds, window = course([3.0 + 0.01 * (i % 3) for i in range(REMEMBERED - 1)], 6.0, Window())
    assert set(kinds) == {FINE}
    assert judge(window, 1e9, 1.0, 6.0).kind == FINE
    _, window = course([3.0], 6.0, window)
    assert judge(window, 1e9, 1.0, 6.0).kind == SPIKE


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_refused_with_and_without_the_spike_guard(bad):
    for limit in (0.0, 6.0):
        assert judge(FULL, bad, 1.0, limit).kind == judge(FULL, 3.0, bad, limit).kind == NOT_FINITE


@given(st.lists(st.one_of(finite, st.just(math.nan), st.just(math.inf)), max_size=40))
def test_rejected_values_never_enter_the_window(losses):
    window = FULL
    for loss in losses:
        verdict = judge(window, loss, 1.05, 6.0)
        then = after(window, verdict, loss, 1.05)
        if not verdict.accepted:
            assert (then.losses, then.norms) == (window.losses, window.norms)
        else:
            assert then.losses[-1] == loss
            assert (then.not_finite, then.spikes) == (0, 0)
        assert len(then.losses) == len(then.norms) <= REMEMBERED
        assert then.spikes <= PATIENCE
        window = then


def test_the_window_forgets_the_oldest_first():
    _, window = course([3.0] * 5, 0.0)
    assert window.losses == (*FULL.losses[5:], *[3.0] * 5)
    assert len(window.norms) == REMEMBERED


def test_a_level_that_stays_is_accepted_and_measured_anew():
    kinds, window = course([9.0] * 200, 6.0)
    assert kinds == [SPIKE] * PATIENCE + [NEW_LEVEL] + [FINE] * (200 - PATIENCE - 1)
    assert set(window.losses) == {9.0}


def test_nan_between_spikes_does_not_make_the_guard_refuse_for_good():
    kinds, _ = course([9.0, math.nan] * 10, 6.0)
    assert kinds[: 2 * PATIENCE + 1] == [SPIKE, NOT_FINITE] * PATIENCE + [NEW_LEVEL]


@given(st.lists(finite, min_size=1, max_size=300))
def test_of_finite_steps_at_most_three_in_a_row_are_refused(losses):
    kinds, _ = course(losses, 6.0)
    for start in range(len(kinds) - PATIENCE):
        assert set(kinds[start : start + PATIENCE + 1]) != {SPIKE}


def test_only_what_is_not_finite_counts_towards_giving_up():
    _, window = course([math.nan, math.nan], 6.0)
    assert window.not_finite == 2
    assert course([9.0], 6.0, window)[1].not_finite == 0
    assert course([3.0], 6.0, window)[1].not_finite == 0
    assert course([math.inf], 6.0, window)[1].not_finite == PATIENCE


def test_of_several_verdicts_the_greatest_is_the_worst():
    """So that ranks agree by one all-reduce of one number."""
    assert FINE < NEW_LEVEL < SPIKE < NOT_FINITE
    assert [guard.Verdict(kind).accepted for kind in (FINE, NEW_LEVEL, SPIKE, NOT_FINITE)] == [
        True, True, False, False,
    ]  # fmt: skip


@given(st.lists(st.tuples(finite, finite), max_size=REMEMBERED), st.integers(0, 3), st.integers(0, 3))
def test_a_window_comes_back_from_json_bit_for_bit(pairs, not_finite, spikes):
    window = Window(tuple(a for a, _ in pairs), tuple(b for _, b in pairs), not_finite, spikes)
    assert Window.of(json.loads(json.dumps(window.plain()))) == window


@pytest.mark.parametrize(
    "change",
    [{"losses": [1.0]}, {"losses": None}, {"losses": ["1"] * 128}, {"norms": [math.nan] * 128},
     {"spikes": -1}, {"spikes": True}, {"not_finite": 1.5}, {"losses": [1.0] * 129, "norms": [1.0] * 129}],
)  # fmt: skip
def test_what_is_no_window_is_refused(change):
    with pytest.raises(ValueError, match="expected the guard's window of at most 128 steps, found"):
        Window.of(FULL.plain() | change)
    with pytest.raises(ValueError, match="expected the guard's window"):
        Window.of([])


# in the training step

GUARDED = OptimizerConfig(lr=0.01, spike_guard=6.0)


def test_a_spike_leaves_weights_and_moments_bit_for_bit_and_the_window_too():
    state, first = step_once(new_state(random_params(TINY)), optimizer=GUARDED)
    calm = Window((first.loss / 2, first.loss / 2.1) * 64, (first.norm, first.norm * 1.1) * 64)
    state = state._replace(guard=calm)
    then, report = step_once(state, optimizer=GUARDED)
    assert report.verdict.kind == SPIKE
    assert weights(then) == weights(state)
    assert (then.step, then.updates, then.guard) == (2, 1, calm._replace(spikes=1))
    free, report = step_once(state, optimizer=OptimizerConfig(lr=0.01))
    assert report.verdict.accepted
    assert weights(free) != weights(state)


def test_accepted_steps_are_remembered_and_a_bad_number_is_only_counted():
    state = new_state(random_params(TINY))
    reports = []
    for _ in range(3):
        state, report = step_once(state)
        reports.append(report)
    assert state.guard == Window(tuple(r.loss for r in reports), tuple(r.norm for r in reports))
    bad, _ = step_once(state, with_bad_gradient(math.nan))
    assert bad.guard == state.guard._replace(not_finite=1)


def test_a_rejected_step_is_the_verdict_s_one_line_and_no_warning(recwarn):
    params = random_params(TINY, dtype="float32")
    params["h.0.mlp.c_fc.weight"][:] = 1e30
    for ops in ("reference", "fast"):
        report = Trainer(TINY, params, ops=ops, threads=2).step_in_parts([random_batch(TINY, 2, 4)])
        assert not report.verdict.accepted
    assert not recwarn.list
