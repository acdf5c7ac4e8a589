"""column_sum.cu and bias.cu against NumPy in float64."""

import pytest

from tests.support.cuda.running_error import check, near

SHAPES = [(1, 1, 1), (2, 5, 33), (3, 9, 264), (7, 11, 520)]


@pytest.mark.parametrize("strips", [1, 3, 64])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("add", [True, False])
def test_column_sum(bench, draw, dtype, shape, strips, add, monkeypatch):
    module = bench.module("column_sum")
    monkeypatch.setattr(module, "STRIPS", strips)
    (x, x64), (before, before64) = draw(shape, dtype), draw(shape[-1], "float32")

    def run():
        out = bench.odd(before)
        module.column_sum(bench.put(x), out=out, add=add)
        return {"out": out}

    before64 = before64 * add
    bound = before64 + near(x64).sum((0, 1))
    check("out", bench.run(run)["out"], before64 + x64.sum((0, 1)), bound)


@pytest.mark.parametrize("shape", [*SHAPES, (1, 2, 1032)])
def test_bias_add(bench, draw, dtype, shape):
    (x, x64), (bias, bias64) = draw(shape, dtype), draw(shape[-1], dtype)
    found = bench.run(lambda: {"y": bench.module("bias").bias_add(bench.put(x), bench.put(bias))})
    check("y", found["y"], x64 + bias64, (near(x64) + bias64).stored(dtype))


@pytest.mark.parametrize("shape", [*SHAPES, (1, 2, 1032)])
def test_residual_add(bench, draw, dtype, shape):
    (x, x64), (branch, branch64), (bias, bias64) = (
        draw(shape, dtype),
        draw(shape, dtype),
        draw(shape[-1], dtype),
    )
    found = bench.run(lambda: {"s": bench.module("bias").residual_add(*map(bench.put, (x, branch, bias)))})
    check("s", found["s"], x64 + branch64 + bias64, (near(x64) + (near(branch64) + bias64)).stored(dtype))


def test_rows_that_begin_anywhere(bench, draw, dtype):
    """No packets of 16 bytes where an array does not begin at a multiple of 16."""
    (x, x64), (bias, bias64) = draw((2, 3, 16), dtype), draw(16, dtype)
    found = bench.run(lambda: {"y": bench.module("bias").bias_add(bench.odd(x), bench.put(bias))})
    check("y", found["y"], x64 + bias64, (near(x64) + bias64).stored(dtype))
