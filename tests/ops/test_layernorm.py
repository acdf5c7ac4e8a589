"""Layer normalisation: mean 0, variance 1, and gradients without shift or scale."""

import numpy as np
from hypothesis import given, target

from minigpt import ops
from tests.support.examples import sizes
from tests.support.proofs import GRADIENT, gradient_error


@given(sizes())
def test_backward_is_the_derivative_of_forward(s):
    error = gradient_error("layernorm", ops, s)
    target(error)
    assert error <= GRADIENT


def test_rows_come_out_with_mean_zero_and_variance_one():
    x = np.random.default_rng(0).normal(3, 7, (2, 3, 64))
    n, _ = ops.layernorm_forward(x, np.ones(64), np.zeros(64))
    assert np.abs(n.mean(axis=-1)).max() < 64 * 2**-53
    assert np.abs(n.var(axis=-1) - 1).max() < 1e-5  # EPS / variance, with variance above 1


def test_a_constant_row_becomes_the_bias():
    bias = np.array([1.0, -2.0, 3.0, 0.5])
    y, _ = ops.layernorm_forward(np.full((1, 2, 4), 8.0), np.full(4, 5.0), bias)
    assert y.tolist() == [[bias.tolist()] * 2]


def test_a_shift_and_a_rescaling_of_x_receive_no_gradient():
    rng = np.random.default_rng(1)
    x, gain, dy = rng.normal(size=(2, 3, 8)), rng.normal(size=8), rng.normal(size=(2, 3, 8))
    _, cache = ops.layernorm_forward(x, gain, np.zeros(8))
    dx, _, _ = ops.layernorm_backward(dy, cache)
    assert np.abs(dx.sum(axis=-1)).max() < 1e-14
    assert np.abs((dx * (x - x.mean(axis=-1, keepdims=True))).sum(axis=-1)).max() < 1e-4  # zero but for EPS


def test_two_channels_leave_almost_no_gradient():
    x = np.array([[[1.0, -1.0]]])  # n is (1, -1) whatever x is, but for EPS
    _, cache = ops.layernorm_forward(x, np.ones(2), np.zeros(2))
    dx, _, _ = ops.layernorm_backward(np.array([[[1.0, 0.0]]]), cache)
    assert np.abs(dx).max() < 1e-5
