"""softmax.cu against minigpt/ops/attention.py in float64."""

import numpy as np
import pytest

from minigpt.ops.attention import softmax
from tests.support.cuda.running_error import check, near

SHAPES = [(1, 1, 1, 1), (1, 2, 33, 33), (2, 1, 64, 64), (1, 1, 264, 264)]


def causal(scores, T):
    return np.where(np.tri(T, dtype=bool), scores, -np.inf)


@pytest.mark.parametrize("shape", SHAPES)
def test_forward(bench, draw, dtype, shape):
    T, scale = shape[-1], 0.125
    scores, scores64 = draw(shape, dtype, 16)
    scores[..., ~np.tri(T, dtype=bool)] = np.nan  # must not be read

    found = bench.run(lambda: {"probs": bench.module("softmax").softmax_forward(bench.put(scores), scale)})
    seen = np.tri(T, dtype=bool)
    scaled = scale * near(scores64)
    largest = causal(scaled.value, T).max(-1, keepdims=True)
    x = scaled - near(largest)
    w = x.exp(4 if dtype == np.float32 else 4 + 2.32 * abs(x.value)) * seen
    bound = (w * w.sum(-1).reciprocal()).stored(dtype)
    check("probs", found["probs"], softmax(causal(scale * scores64, T)), bound)
    assert (found["probs"][..., ~seen] == 0).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_backward(bench, draw, dtype, shape):
    T, scale = shape[-1], 0.125
    probs = softmax(causal(draw(shape, dtype)[1], T)).astype(dtype)
    probs64 = probs.astype(np.float64)
    dprobs, dprobs64 = draw(shape, dtype)
    dprobs[..., ~np.tri(T, dtype=bool)] = np.nan
    softmax_module = bench.module("softmax")
    found = bench.run(
        lambda: {"ds": softmax_module.softmax_backward(bench.put(dprobs), bench.put(probs), scale)}
    )
    dprobs64 = np.where(np.tri(T, dtype=bool), dprobs64, 0)
    exact = scale * probs64 * (dprobs64 - (probs64 * dprobs64).sum(-1, keepdims=True))
    p = near(probs64)
    check("ds", found["ds"], exact, (scale * p * (dprobs64 - (p * dprobs64).sum(-1))).stored(dtype))


def test_large_scores(bench, dtype):
    """Shifted by the largest, exp never overflows, and what is far below it counts nothing."""
    scores = np.array([[[[1e4, 0], [1e4, -1e4]]]], dtype)
    found = bench.run(lambda: {"probs": bench.module("softmax").softmax_forward(bench.put(scores), 1.0)})
    assert (found["probs"] == [[1, 0], [1, 0]]).all()
