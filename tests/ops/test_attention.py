"""Causal self-attention."""

import numpy as np
import pytest
from hypothesis import given, target

from minigpt import ops
from minigpt.ops.attention import merge_heads, softmax, split_heads
from tests.support.examples import sizes
from tests.support.proofs import GRADIENT, gradient_error


@given(sizes())
def test_backward_is_the_derivative_of_forward(s):
    error = gradient_error("attention", ops, s)
    target(error)
    assert error <= GRADIENT


@given(sizes())
def test_probs_are_causal_and_each_row_sums_to_one(s):
    qkv = s.scale * np.random.default_rng(s.seed).normal(size=(s.B, s.T, 3 * s.C))
    _, (_, _, _, probs) = ops.attention_forward(qkv, s.H)
    assert np.abs(probs.sum(axis=-1) - 1).max() <= s.T * 2**-53
    assert (probs >= 0).all()
    assert not np.triu(probs, 1).any()


def test_the_first_position_sees_itself_alone():
    qkv = np.random.default_rng(0).normal(size=(2, 3, 12))
    y, _ = ops.attention_forward(qkv, 2)
    assert y[:, 0].tolist() == qkv[:, 0, 8:].tolist()


def test_equal_scores_average_the_values():
    v = np.array([[2.0], [4.0], [9.0]])
    qkv = np.concatenate([np.zeros((3, 2)), v], axis=-1)[None]
    y, _ = ops.attention_forward(qkv, 1)
    assert np.abs(y[0, :, 0] - [2, 3, 5]).max() < 1e-15 * 9


def test_a_masked_score_receives_exactly_nothing():
    rng = np.random.default_rng(0)
    _, cache = ops.attention_forward(rng.normal(size=(1, 4, 6)), 1)
    dy = np.zeros((1, 4, 2))
    dy[0, 1] = 1  # only position 1 is asked for: positions 2 and 3 lie in its future
    assert not ops.attention_backward(dy, cache)[0, 2:].any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_huge_scores_do_not_overflow(dtype):
    qkv = (1e15 * np.random.default_rng(0).normal(size=(1, 5, 6))).astype(dtype)
    with np.errstate(over="raise", invalid="raise"):
        y, cache = ops.attention_forward(qkv, 1)
        dqkv = ops.attention_backward(np.ones_like(y), cache)
    assert np.isfinite(y).all()
    assert np.isfinite(dqkv).all()


def test_softmax_does_not_change_with_a_shift():
    scores = np.array([[0.0, 1.0, -3.0], [5.0, 5.0, 5.0]])
    assert np.abs(softmax(scores + 1024) - softmax(scores)).max() < 1e-15
    assert softmax(scores)[1].tolist() == [1 / 3] * 3


def test_merging_undoes_splitting():
    x = np.arange(2.0 * 3 * 8).reshape(2, 3, 8)
    heads = split_heads(x, 4)
    assert heads.shape == (2, 4, 3, 2)
    assert heads[1, 2, 0].tolist() == x[1, 0, 4:6].tolist()
    assert merge_heads(heads).tolist() == x.tolist()
