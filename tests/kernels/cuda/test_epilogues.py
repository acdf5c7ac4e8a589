"""epilogues.py against minigpt/ops in float64, by cublasLt and where cublasLt has no algorithm."""

import numpy as np
import pytest

from minigpt import ops
from tests.kernels.cuda.test_cublaslt import STEEPEST, TANH
from tests.kernels.cuda.test_gemm import UNIT, error_bound
from tests.support.cuda import fake_cublaslt

B, T, C, F = 2, 3, 8, 16
ALL = {"BIAS", "GELU_AUX_BIAS", "DGELU", "BGRADA"}


@pytest.fixture(params=["cublasLt", pytest.param("another way", marks=pytest.mark.emulation)])
def lt(request, bench, monkeypatch):
    """The functions, and cublasLt as it is or without any algorithm."""
    if request.param == "another way":
        monkeypatch.setattr(fake_cublaslt, "REFUSE", ALL)
    bench.module("cublaslt").plan_of.cache_clear()
    yield bench.module("epilogues")
    bench.module("cublaslt").plan_of.cache_clear()


@pytest.fixture
def case(bench, draw, dtype):
    """name -> (on the device, in float64)."""
    shapes = {"x": (B, T, C), "weight": (C, F), "offset": (F,), "wide": (B, T, F), "dy": (B, T, F)}
    drawn = {name: draw(shape, dtype) for name, shape in shapes.items()}
    return {name: (bench.put(stored), exact) for name, (stored, exact) in drawn.items()}


def bound(a, b, dtype, *terms):
    """Of a product, and of up to three roundings of what is added to it."""
    a, b = (x.reshape(-1, x.shape[-1]) for x in (a, b))
    added = sum(abs(term).max() for term in terms)
    return 2 * error_bound(a, b, 1, 0, 0, dtype).max() + 6 * UNIT[dtype] * added


def within(found, expected, limit):
    assert np.abs(found.get().astype(np.float64) - expected).max() <= limit


def test_linear(lt, case, dtype):
    (x, x64), (w, w64), (b, b64) = (case[name] for name in ("x", "weight", "offset"))
    within(lt.linear(x, w, b, 68), x64 @ w64 + b64, bound(x64, w64, dtype, b64))
    y, cache = lt.linear_forward(x, w, b, compute=68)
    within(y, x64 @ w64 + b64, bound(x64, w64, dtype, b64))
    assert cache == (x, w)


def test_linear_on_top_of_the_stream(lt, case, dtype):
    names = "x", "weight", "offset", "wide"
    (x, x64), (w, w64), (b, b64), (residual, residual64) = (case[name] for name in names)
    before = residual.get().copy()
    found = lt.linear_on_top(residual, x, w, b, 68)
    within(found, residual64 + x64 @ w64 + b64, bound(x64, w64, dtype, b64, residual64))
    assert residual.get().tobytes() == before.tobytes()


def test_linear_and_gelu(lt, case, dtype):
    (x, x64), (w, w64), (b, b64) = (case[name] for name in ("x", "weight", "offset"))
    active, wide = lt.linear_gelu(x, w, b, 68)
    exact, limit = x64 @ w64 + b64, bound(x64, w64, dtype, b64)
    within(wide, exact, limit)
    within(active, ops.gelu_forward(exact)[0], STEEPEST * limit + (TANH + UNIT[dtype]) * abs(exact).max())


def test_slope_of_gelu(lt, case, dtype):
    (dy, dy64), (w, w64), (wide, wide64) = (case[name] for name in ("x", "weight", "wide"))
    found = lt.linear_gelu_backward(dy, w.T, wide, 68)
    product = dy64 @ w64
    expected = ops.gelu_backward(product, ops.gelu_forward(wide64)[1])
    limit = STEEPEST * bound(dy64, w64, dtype) + (8 * TANH + UNIT[dtype]) * abs(product).max()
    within(found, expected, limit)


@pytest.mark.parametrize("add", [False, True])
def test_gradients_of_weight_and_bias(bench, lt, case, draw, dtype, add):
    (x, x64), (dy, dy64) = case["x"], case["dy"]
    (dw, dw64), (db, db64) = draw((C, F), "float32"), draw((F,), "float32")
    dw, db = bench.put(dw), bench.put(db)
    for gradient, place in zip(lt.gradients(x, dy, 68), (dw, db), strict=True):
        gradient.write(place, add)
    rows, drows = x64.reshape(-1, C), dy64.reshape(-1, F)
    single = np.dtype(np.float32)
    within(dw, rows.T @ drows + add * dw64, bound(rows.T, drows, single, dw64))
    within(db, drows.sum(axis=0) + add * db64, 1e-5)


def test_linear_backward(lt, case, bench, dtype):
    (x, x64), (w, w64), (dy, dy64) = (case[name] for name in ("x", "weight", "dy"))
    dx, dw, db = lt.linear_backward(dy, (x, w), compute=68)
    within(dx, dy64 @ w64.T, bound(dy64, w64.T, dtype))
    places = bench.cupy.zeros((C, F), "float32"), bench.cupy.zeros(F, "float32")
    dw.write(places[0], False)
    db.write(places[1], False)
    rows, drows = x64.reshape(-1, C), dy64.reshape(-1, F)
    within(places[0], rows.T @ drows, bound(rows.T, drows, np.dtype(np.float32)))
    within(places[1], drows.sum(axis=0), 1e-5)
