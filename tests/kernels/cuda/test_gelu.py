"""gelu.cu against minigpt/ops/gelu.py in float64."""

import numpy as np
import pytest

from minigpt import ops
from minigpt.ops.gelu import CUBIC, SLOPE
from tests.support.cuda.running_error import check, near

SHAPES = [(1, 1, 1), (2, 5, 33), (1, 19, 264), (1, 2, 1032)]


def sigmoid(h, dtype):
    """(1 + tanh(u)) / 2 as the kernel has it: exp and __fdividef to 2 ulp; __expf for bfloat16."""
    exponent = -2 * (SLOPE * (h + CUBIC * h * h * h))
    units = 4 if dtype == np.float32 else 4 + 2.32 * abs(exponent.value)
    return (exponent.exp(units) + 1).reciprocal(1 if dtype == np.float32 else 4)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("biased", [True, False])
def test_forward(bench, draw, dtype, shape, biased):
    (x, x64), (bias, bias64) = draw(shape, dtype, 3), draw(shape[-1], dtype)
    bias, bias64 = (bias, bias64) if biased else (None, 0.0)
    gelu = bench.module("gelu")
    found = bench.run(lambda: {"y": gelu.bias_gelu_forward(bench.put(x), bench.put(bias))})
    h = near(x64) + bias64
    check("y", found["y"], ops.gelu_forward(x64 + bias64)[0], (h * sigmoid(h, dtype)).stored(dtype))


@pytest.mark.parametrize("strips", [1, 3, 64])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("biased", "add"), [(True, True), (False, False)])
def test_backward(bench, draw, dtype, shape, strips, biased, add, monkeypatch):
    gelu, C = bench.module("gelu"), shape[-1]
    monkeypatch.setattr(gelu, "STRIPS", strips)
    (x, x64), (dy, dy64) = draw(shape, dtype, 3), draw(shape, dtype)
    (bias, bias64), (before, before64) = draw(C, dtype), draw(C, "float32")
    bias, bias64 = (bias, bias64) if biased else (None, 0.0)

    def run():
        out = bench.odd(before)
        dx, finish = gelu.bias_gelu_backward(bench.put(dy), bench.put(x), bench.put(bias))
        finish([out], add)
        return {"dx": dx, "dbias": out}

    found = bench.run(run)
    dx = ops.gelu_backward(dy64, ops.gelu_forward(x64 + bias64)[1])
    h = near(x64) + bias64
    s = sigmoid(h, dtype)
    near_dx = dy64 * (s + h * 2 * s * (1 - s) * (SLOPE * (1 + 3 * CUBIC * h * h)))
    check("dx", found["dx"], dx, near_dx.stored(dtype))
    check("dbias", found["dbias"], before64 * add + dx.sum((0, 1)), before64 * add + near_dx.sum((0, 1)))


def test_far_out(bench, dtype):
    """x itself far right, 0 far left, whatever becomes of exp in between."""
    x = np.array([[-3e4, -50, -20, 20, 50, 3e4]], dtype)
    found = bench.run(lambda: {"y": bench.module("gelu").bias_gelu_forward(bench.put(x))})
    assert (found["y"] == np.where(x < 0, 0, x).astype(np.float64)).all()
