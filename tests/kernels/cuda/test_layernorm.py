"""layernorm.cu against minigpt/ops/layernorm.py in float64."""

import pytest

from minigpt import ops
from minigpt.ops.layernorm import EPS
from tests.support.cuda.running_error import check, near

# one column; no multiple of 8; several packets a lane, the last warp of columns partly empty
SHAPES = [(1, 1, 1), (1, 3, 33), (2, 3, 264)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("parts", ["x", "x + branch", "x + branch + bias"])
def test_forward(bench, draw, dtype, shape, parts):
    C, layernorm = shape[-1], bench.module("layernorm")
    (x, x64), (branch, branch64) = draw(shape, dtype), draw(shape, dtype)
    (gain, gain64), (bias, bias64), (shift, shift64) = (draw(C, dtype) for _ in range(3))
    if "branch" not in parts:
        branch, branch64 = None, 0.0
    if "bias" not in parts:
        shift, shift64 = None, 0.0

    def run():
        given = (bench.put(array) for array in (x, gain, bias, branch, shift))
        return dict(zip(("s", "y", "mean", "rstd"), layernorm.layernorm_forward(*given), strict=True))

    found = bench.run(run)
    check("s", found["s"], x64 + branch64 + shift64, (near(x64) + branch64 + shift64).stored(dtype))

    s = found["s"]  # what was stored is what is normalised
    y, (_, rstd, _) = ops.layernorm_forward(s, gain64, bias64)
    mean = near(s).mean(-1)
    centred = s - mean
    near_rstd = ((centred * centred).mean(-1) + EPS).sqrt(0).reciprocal(4)  # rsqrtf: 2 ulp
    check("mean", found["mean"], s.mean(-1), mean)
    check("rstd", found["rstd"], rstd[..., 0], near_rstd)
    check("y", found["y"], y, (gain64 * (centred * near_rstd) + bias64).stored(dtype))


@pytest.mark.parametrize("strips", [1, 2, 528])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("residual", "add", "sums"), [(False, False, 2), (True, True, 4)])
def test_backward(bench, draw, dtype, shape, strips, residual, add, sums, monkeypatch):
    C, layernorm = shape[-1], bench.module("layernorm")
    monkeypatch.setattr(layernorm, "STRIPS", strips)
    (s, s64), (dy, dy64), (past, past64) = (draw(shape, dtype) for _ in range(3))
    (gain, gain64), (before, before64) = draw(C, dtype), draw((4, C), "float32")
    _, (n64, rstd64, _) = ops.layernorm_forward(s64, gain64, 0)
    mean32, rstd32 = s64.mean(-1).astype("float32"), rstd64[..., 0].astype("float32")
    past, past64 = (past, past64) if residual else (None, 0.0)

    def run():
        out = [bench.odd(row) for row in before[:sums]]
        given = [bench.put(array) for array in (dy, s, gain, mean32, rstd32, past)]
        ds, finish = layernorm.layernorm_backward(*given)
        finish(out, add)
        return {"ds": ds} | dict(zip(("dgain", "dbias", "dbranch", "dlater"), out, strict=False))

    found = bench.run(run)
    dx, dgain, dbias = ops.layernorm_backward(dy64, (n64, rstd64, gain64))
    mean, rstd = near(s64.mean(-1, keepdims=True)).rounded(), near(rstd64).rounded()  # as they arrive
    n, dn = (s64 - mean) * rstd, near(gain64) * dy64
    ds = past64 + rstd * (dn - dn.mean(-1) - n * (n * dn).mean(-1))
    before64 = before64 * add
    check("ds", found["ds"], past64 + dx, ds.stored(dtype))
    check("dgain", found["dgain"], before64[0] + dgain, before64[0] + (n * dy64).sum((0, 1)))
    check("dbias", found["dbias"], before64[1] + dbias, before64[1] + near(dy64).sum((0, 1)))
    if sums == 4:
        check(
            "dbranch", found["dbranch"], before64[2] + (past64 + dx).sum((0, 1)), before64[2] + ds.sum((0, 1))
        )
        check(
            "dlater",
            found["dlater"],
            before64[3] + past64.sum((0, 1)),
            before64[3] + near(past64).sum((0, 1)),
        )
