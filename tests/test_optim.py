"""AdamW, clipping and the learning rate's course."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigpt import optim
from minigpt.config import SCHEDULES, OptimizerConfig
from minigpt.errors import ConfigError
from tests.support.optim_proofs import ADAMW, CHECKS, CLOSE, adamw_error, five


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_optim(check):
    check(optim)


@given(
    step=st.integers(1, 10_000),
    seed=st.integers(0, 2**32 - 1),
    lr=st.floats(1e-6, 1),
    betas=st.tuples(st.floats(0, 0.999), st.floats(0, 0.999)),
    eps=st.floats(1e-8, 1),
    weight_decay=st.floats(0, 1),
    n_decayed=st.integers(0, 5),
)
def test_adamw_is_its_equation_whatever_the_settings(step, seed, **settings):
    # 1 - beta**step may be as small as 1 / 1000: there a rounding of beta**step weighs 1000 times as much
    assert adamw_error(optim, step, seed, **settings) <= 1000 * CLOSE


def test_only_the_first_parameters_decay():
    params, zeros = np.full(4, 8.0), np.zeros(4)
    options = ADAMW | {"n_decayed": 2, "lr": 0.5, "weight_decay": 0.25}
    moved, first, second = optim.adamw(params, zeros, zeros, zeros, step=1, **options)
    assert moved.tolist() == [7, 7, 8, 8]
    assert not first.any()
    assert not second.any()


def test_the_first_step_moves_by_the_learning_rate_whatever_the_gradient_s_size():
    grads, zeros = np.array([1e-3, -5.0, 1e6, -1e-6]), np.zeros(4)
    options = ADAMW | {"eps": 0.0, "weight_decay": 0.0, "lr": 0.01}
    moved, _, _ = optim.adamw(zeros, grads, zeros, zeros, step=1, **options)
    assert np.abs(moved + 0.01 * np.sign(grads)).max() <= 0.01 * CLOSE


def test_scale_is_the_same_as_scaling_the_gradients():
    params, grads, first, second = five(3)
    scaled = optim.adamw(params, grads, first, second, step=4, **ADAMW)
    by_hand = optim.adamw(params, ADAMW["scale"] * grads, first, second, step=4, **ADAMW | {"scale": 1.0})
    assert [array.tobytes() for array in scaled] == [array.tobytes() for array in by_hand]


def test_without_gradient_or_decay_a_new_parameter_stays():
    params, zeros = np.arange(5.0), np.zeros(5)
    moved, _, _ = optim.adamw(params, zeros, zeros, zeros, step=1, **ADAMW | {"weight_decay": 0.0})
    assert moved.tobytes() == params.tobytes()


@given(grads=st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=8), clip=st.floats(1e-3, 1e3))
def test_a_clipped_gradient_is_no_longer_than_clip_and_never_longer_than_before(grads, clip):
    norm = optim.global_norm(np.array(grads))
    scale = optim.clip_scale(norm, clip)
    assert 0 < scale <= 1
    assert scale * norm <= clip * (1 + CLOSE)
    assert scale == 1 or scale * (norm + 1e-6) >= clip * (1 - CLOSE)


@st.composite
def optimizers(draw):
    """Any schedule, warmups that outlast the run among them."""
    return OptimizerConfig(
        lr=draw(st.floats(0, 10)),
        warmup=draw(st.integers(0, 20)),
        schedule=draw(st.sampled_from(SCHEDULES)),
        steps=draw(st.integers(1, 30)),
        final=draw(st.floats(0, 1)),
    )


@given(optimizer=optimizers())
def test_the_rate_climbs_to_its_peak_then_only_falls(optimizer):
    rates = [optim.learning_rate(step, optimizer) for step in range(60)]
    slack = optimizer.lr * CLOSE
    assert all(0 <= rate <= optimizer.lr + slack for rate in rates)
    climb, course = rates[: optimizer.warmup], rates[optimizer.warmup :]
    assert climb == sorted(climb)
    assert all(later <= earlier + slack for earlier, later in itertools.pairwise(course))
    assert abs(max(rates) - optimizer.lr) <= slack or optimizer.schedule == "wsd"


@given(optimizer=optimizers())
def test_a_finished_run_has_its_final_rate(optimizer):
    end = max(optimizer.steps, optimizer.warmup) + 1
    final = 1.0 if optimizer.schedule == "constant" else optimizer.final
    assert abs(optim.learning_rate(end, optimizer) - final * optimizer.lr) <= optimizer.lr * CLOSE


def test_every_schedule_of_the_config_exists():
    assert set(optim.SHAPES) == set(SCHEDULES)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("lr", -1e-9),
        ("lr", math.nan),
        ("lr", math.inf),
        ("lr", "6e-4"),
        ("lr", True),
        ("betas", 0.9),
        ("betas", (0.9,)),
        ("betas", (0.9, 1.0)),
        ("betas", (-0.1, 0.9)),
        ("betas", (0.9, math.nan)),
        ("eps", -1e-8),
        ("eps", math.inf),
        ("weight_decay", -0.1),
        ("weight_decay", math.nan),
        ("clip", 0),
        ("clip", -1.0),
        ("clip", math.nan),
        ("clip", "1"),
        ("warmup", -1),
        ("warmup", 1.5),
        ("warmup", True),
        ("steps", 0),
        ("steps", 1e3),
        ("steps", 2**31),
        ("final", -0.1),
        ("final", 1.1),
        ("final", math.nan),
        ("schedule", "sine"),
        ("schedule", None),
    ],
)
def test_nonsense_is_refused_by_name(field, value):
    with pytest.raises(ConfigError, match=field):
        OptimizerConfig(**{field: value})
