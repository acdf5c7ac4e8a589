"""The head: a linear layer whose weight is the token table, transposed."""

import numpy as np
from hypothesis import given, target

from minigpt import ops
from tests.support.examples import sizes
from tests.support.proofs import GRADIENT, gradient_error


@given(sizes())
def test_backward_is_the_derivative_of_forward(s):
    error = gradient_error("unembedding", ops, s)
    target(error)
    assert error <= GRADIENT


def test_a_token_fits_its_own_embedding_best():
    wte = np.eye(4)
    logits, _ = ops.unembedding_forward(wte[None, [2, 0, 3]], wte)
    assert logits.argmax(axis=-1).tolist() == [[2, 0, 3]]


def test_it_is_a_linear_layer_with_the_table_transposed():
    rng = np.random.default_rng(0)
    x, wte, dlogits = rng.normal(size=(2, 3, 4)), rng.normal(size=(5, 4)), rng.normal(size=(2, 3, 5))
    logits, cache = ops.unembedding_forward(x, wte)
    expected, linear = ops.linear_forward(x, wte.T, np.zeros(5))
    assert np.abs(logits - expected).max() < 1e-14
    dx, dweight, _ = ops.linear_backward(dlogits, linear)
    for found, wanted in zip(ops.unembedding_backward(dlogits, cache), (dx, dweight.T), strict=True):
        assert np.abs(found - wanted).max() < 1e-14
