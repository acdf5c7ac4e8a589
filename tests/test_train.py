"""The training step: what it hands on, what it refuses, and what it leaves alone."""

import math

import numpy as np
import pytest

from minigpt import ops, optim
from minigpt.comm import Alone
from minigpt.config import OptimizerConfig
from minigpt.train import new_state, train_step
from tests.support.models import TINY, gradient_of, loss_of, random_batch, random_params
from tests.support.tables import reference_table

BATCH = random_batch(TINY, B=2, T=4)
OPTIMIZER = OptimizerConfig(lr=0.01, warmup=3, schedule="linear", steps=9)


def step_once(state, table=None, optimizer=OPTIMIZER, batches=(BATCH,)):
    """train_step with what most tests have in common."""
    return train_step(TINY, optimizer, table or reference_table(), Alone(), state, list(batches))


def weights(state):
    """Everything that a refused step must leave as it was, byte for byte."""
    return state.params.buffer.tobytes(), state.first.tobytes(), state.second.tobytes()


def a_state_in_training():
    """The state after two good steps, so that moments are not zero."""
    state = new_state(random_params(TINY))
    for _ in range(2):
        state, _ = step_once(state)
    return state


def with_bad_loss(value):
    """A table whose loss is value, its gradient healthy."""

    def cross_entropy_forward(logits, targets):
        return np.float64(value), ops.cross_entropy_forward(logits, targets)[1]

    return reference_table(cross_entropy_forward=cross_entropy_forward)


def with_bad_gradient(value):
    """A table in which one number of every gelu's gradient is value; the loss is healthy."""

    def gelu_backward(dy, cache):
        dx = ops.gelu_backward(dy, cache)
        dx[0, 0, 0] = value
        return dx

    return reference_table(gelu_backward=gelu_backward)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("plant", [with_bad_loss, with_bad_gradient])
def test_a_bad_number_is_refused_and_nothing_but_the_step_count_changes(plant, value):
    before = a_state_in_training()
    kept = weights(before)
    with np.errstate(invalid="ignore"):
        after, report = step_once(before, plant(value))
    assert not report.verdict.accepted
    assert report.verdict.reason.startswith("loss" if plant is with_bad_loss else "gradient norm")
    assert weights(after) == weights(before) == kept
    assert (after.step, after.updates) == (before.step + 1, before.updates)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_bad_weight_is_noticed(value):
    state = new_state(random_params(TINY))
    state.params["h.1.mlp.c_fc.weight"][0, 0] = value
    with np.errstate(invalid="ignore"):
        after, report = step_once(state)
    assert not report.verdict.accepted
    assert weights(after) == weights(state)


def test_a_refused_step_leaves_no_trace_in_the_next_one():
    clean, spoilt = a_state_in_training(), a_state_in_training()
    with np.errstate(invalid="ignore"):
        spoilt, _ = step_once(spoilt, with_bad_gradient(math.nan))
    clean, _ = step_once(clean._replace(step=clean.step + 1))
    spoilt, _ = step_once(spoilt)
    assert weights(spoilt) == weights(clean)


def test_an_accepted_step_advances_both_counts():
    state, report = step_once(new_state(random_params(TINY)))
    assert report.verdict.accepted
    assert report.verdict.reason == ""
    assert (state.step, state.updates) == (1, 1)


def test_loss_and_norm_are_those_before_the_update():
    params = random_params(TINY)
    loss, grads = loss_of(TINY, params.buffer.copy(), *BATCH), gradient_of(TINY, params, *BATCH)
    _, report = step_once(new_state(params))
    norm = math.sqrt(math.fsum(g * g for grad in grads.values() for g in grad.ravel()))
    assert report.loss == loss
    assert abs(report.norm / norm - 1) < 1e-13
    assert type(report.loss) is float
    assert type(report.norm) is float


def test_the_rate_is_the_schedule_s_for_every_step():
    state = new_state(random_params(TINY))
    for step in range(12):
        state, report = step_once(state)
        assert report.lr == optim.learning_rate(step, OPTIMIZER)


def test_adamw_is_given_the_settings_the_counts_and_the_clipped_gradient():
    calls = []

    def adamw(params, grads, first, second, **options):
        calls.append(options)
        return optim.adamw(params, grads, first, second, **options)

    optimizer = OptimizerConfig(lr=0.5, betas=(0.7, 0.8), eps=1e-3, weight_decay=0.3, clip=0.01, warmup=8)
    state = new_state(random_params(TINY))._replace(step=5, updates=3)
    state, report = step_once(state, reference_table(adamw=adamw), optimizer)
    assert calls == [
        {
            "step": 4,
            "scale": 0.01 / (report.norm + 1e-6),
            "n_decayed": sum(param.size for param in state.params.values() if param.ndim == 2),
            "lr": 0.5 * 6 / 8,
            "betas": (0.7, 0.8),
            "eps": 1e-3,
            "weight_decay": 0.3,
        }
    ]


@pytest.mark.parametrize("decay_all", [False, True])
def test_vectors_decay_only_if_asked(decay_all):
    params = random_params(TINY)
    still = OptimizerConfig(lr=0.5, weight_decay=0.0)
    decaying = OptimizerConfig(lr=0.5, weight_decay=0.1, decay_all=decay_all)
    without, _ = step_once(new_state(params), optimizer=still)
    with_decay, _ = step_once(new_state(params), optimizer=decaying)
    for name, param in params.items():
        decay = 0.05 * param if param.ndim == 2 or decay_all else 0 * param
        difference = without.params[name] - with_decay.params[name]
        assert np.abs(difference - decay).max() < 1e-14 * np.abs(param).max() * 10, name


def test_the_given_parameters_are_not_written_to():
    params = random_params(TINY)
    before = params.buffer.tobytes()
    state, _ = step_once(new_state(params))
    assert params.buffer.tobytes() == before
    assert state.params.buffer.tobytes() != before


def test_gradients_do_not_pile_up_from_step_to_step():
    state = a_state_in_training()
    after, _ = step_once(state)
    fresh, _ = step_once(state._replace(grads=state.params.like(np.full(state.params.buffer.size, np.nan))))
    assert after.grads.buffer.tobytes() == fresh.grads.buffer.tobytes()


def test_a_model_stays_in_its_number_type():
    state = new_state(random_params(TINY, dtype="float32"))
    for _ in range(2):
        state, report = step_once(state, optimizer=OptimizerConfig(clip=0.1))
    arrays = (state.params.buffer, state.first, state.second, state.grads.buffer)
    assert {array.dtype for array in arrays} == {np.dtype(np.float32)}
    assert math.isfinite(report.loss)
