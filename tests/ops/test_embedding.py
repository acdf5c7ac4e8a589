"""Two lookups and the sums of their gradients."""

import numpy as np
from hypothesis import given, target

from minigpt import ops
from tests.support.examples import sizes
from tests.support.proofs import GRADIENT, gradient_error


@given(sizes())
def test_backward_is_the_derivative_of_forward(s):
    error = gradient_error("embedding", ops, s)
    target(error)
    assert error <= GRADIENT


def test_rows_that_were_not_looked_up_get_exactly_zero():
    tokens = np.array([[4, 1, 4]])
    _, cache = ops.embedding_forward(tokens, np.ones((6, 2)), np.ones((5, 2)))
    dwte, dwpe = ops.embedding_backward(np.ones((1, 3, 2)), cache)
    assert dwte[[0, 2, 3, 5]].tolist() == np.zeros((4, 2)).tolist()
    assert dwpe[3:].tolist() == np.zeros((2, 2)).tolist()


def test_a_repeated_token_receives_every_gradient():
    tokens = np.array([[2, 2], [2, 0]])
    dx = np.arange(8.0).reshape(2, 2, 2)
    _, cache = ops.embedding_forward(tokens, np.zeros((3, 2)), np.zeros((2, 2)))
    dwte, dwpe = ops.embedding_backward(dx, cache)
    assert dwte.tolist() == [[6, 7], [0, 0], [0 + 2 + 4, 1 + 3 + 5]]
    assert dwpe.tolist() == [[0 + 4, 1 + 5], [2 + 6, 3 + 7]]
