"""Cross-entropy: softmax and its logarithm, without overflow, over the scored targets."""

import numpy as np
import pytest
from hypothesis import given, target

from minigpt import ops
from tests.support.examples import sizes
from tests.support.proofs import GRADIENT, gradient_error


@given(sizes())
def test_backward_is_the_derivative_of_forward(s):
    error = gradient_error("cross_entropy", ops, s)
    target(error)
    assert error <= GRADIENT


def test_knowing_nothing_costs_log_v():
    loss, _ = ops.cross_entropy_forward(np.zeros((2, 3, 11)), np.zeros((2, 3), int))
    assert abs(loss - np.log(11)) < 1e-15


def test_certainty_costs_nothing_and_being_wrong_costs_the_gap():
    logits = np.array([[[1000.0, 0.0]]])
    assert ops.cross_entropy_forward(logits, np.array([[0]]))[0] == 0
    assert ops.cross_entropy_forward(logits, np.array([[1]]))[0] == 1000


def test_ignored_targets_count_for_nothing():
    rng = np.random.default_rng(0)
    logits, targets = rng.normal(size=(2, 3, 5)), np.array([[1, -1, 4], [-1, -1, 0]])
    loss, cache = ops.cross_entropy_forward(logits, targets)
    scored = logits[targets >= 0][None]
    alone, _ = ops.cross_entropy_forward(scored, targets[targets >= 0][None])
    assert abs(loss - alone) < 1e-15
    dlogits = ops.cross_entropy_backward(1.0, cache)
    assert not dlogits[targets < 0].any()


@given(sizes())
def test_each_position_pulls_as_much_as_it_pushes(s):
    rng = np.random.default_rng(s.seed)
    logits, targets = s.scale * rng.normal(size=(s.B, s.T, s.V)), rng.integers(0, s.V, (s.B, s.T))
    _, cache = ops.cross_entropy_forward(logits, targets)
    dlogits = ops.cross_entropy_backward(1.0, cache)
    assert np.abs(dlogits.sum(axis=-1)).max() <= 2 * s.V * 2**-53
    chosen = np.take_along_axis(dlogits, targets[..., None], axis=-1)
    assert (chosen <= 0).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_huge_logits_do_not_overflow(dtype):
    logits = (1e30 * np.random.default_rng(0).normal(size=(2, 3, 5))).astype(dtype)
    with np.errstate(over="raise", invalid="raise"):
        loss, cache = ops.cross_entropy_forward(logits, np.zeros((2, 3), int))
        dlogits = ops.cross_entropy_backward(1.0, cache)
    assert np.isfinite(loss)
    assert np.isfinite(dlogits).all()
