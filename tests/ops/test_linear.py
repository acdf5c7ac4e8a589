"""The linear layer."""

import numpy as np
from hypothesis import given, target

from minigpt import ops
from tests.support.examples import sizes
from tests.support.proofs import GRADIENT, gradient_error


@given(sizes())
def test_backward_is_the_derivative_of_forward(s):
    error = gradient_error("linear", ops, s)
    target(error)
    assert error <= GRADIENT


def test_a_small_case_by_hand():
    x, weight, bias = np.array([[[1.0, 2.0]]]), np.array([[1.0, 0, 3], [0, 1, 4]]), np.array([10.0, 20, 30])
    y, cache = ops.linear_forward(x, weight, bias)
    assert y.tolist() == [[[11, 22, 41]]]
    dx, dweight, dbias = ops.linear_backward(np.array([[[1.0, 10, 100]]]), cache)
    assert dx.tolist() == [[[301, 410]]]
    assert dweight.tolist() == [[1, 10, 100], [2, 20, 200]]
    assert dbias.tolist() == [1, 10, 100]


def test_rows_are_mapped_one_by_one():
    rng = np.random.default_rng(0)
    x, weight, bias = rng.normal(size=(2, 3, 4)), rng.normal(size=(4, 5)), rng.normal(size=5)
    whole, _ = ops.linear_forward(x, weight, bias)
    for b, t in np.ndindex(2, 3):
        alone, _ = ops.linear_forward(x[b : b + 1, t : t + 1], weight, bias)
        terms = np.abs(x[b, t]) @ np.abs(weight) + np.abs(bias)
        assert (np.abs(alone[0, 0] - whole[b, t]) <= 5 * 2**-52 * terms).all()
