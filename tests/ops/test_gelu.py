"""GELU in the tanh form, which is not the erf form."""

import numpy as np
from hypothesis import given, target

from minigpt import ops
from tests.support.equations import gelu_exact
from tests.support.examples import sizes
from tests.support.proofs import GRADIENT, gradient_error


@given(sizes())
def test_backward_is_the_derivative_of_forward(s):
    error = gradient_error("gelu", ops, s)
    target(error)
    assert error <= GRADIENT


def test_known_values():
    y, _ = ops.gelu_forward(np.array([[[-1.0, 0.0, 1.0, 3.0]]]))
    expected = [-0.15880800939172324, 0.0, 0.8411919906082768, 2.9963626079182269]
    assert np.abs(y[0, 0] - expected).max() < 1e-15


def test_the_tanh_form_is_near_the_erf_form_but_not_equal():
    x = np.linspace(-6, 6, 1201)[None, None]
    y, _ = ops.gelu_forward(x)
    furthest = np.abs(y - gelu_exact(x)).max()
    assert 4e-4 < furthest < 1e-3


def test_far_out_it_is_the_identity_or_nothing():
    x = np.array([[[-1e4, 1e4]]])
    y, cache = ops.gelu_forward(x)
    assert y.tolist() == [[[0.0, 1e4]]]
    assert ops.gelu_backward(np.ones_like(x), cache).tolist() == [[[0.0, 1.0]]]
