"""gemm's arguments: cuBLAS, as its documentation defines it, must make a @ b of them in every layout."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

sizes = st.integers(1, 9)
layouts = st.sampled_from(["rows", "turned", "rows of more", "turned, of more"])
KINDS = [np.dtype(np.float32), np.dtype(ml_dtypes.bfloat16)]
UNIT = {np.dtype(np.float32): 2.0**-24, np.dtype(ml_dtypes.bfloat16): 2.0**-9}  # half the distance from 1


def laid_out(cupy, array, layout):
    """A device array of these numbers, in one of the ways in which a view of a larger one may lie."""
    turned, more = "turned" in layout, 3 if "more" in layout else 0
    source = array.swapaxes(-1, -2) if turned else array
    *batch, rows, columns = source.shape
    memory = cupy.empty((*batch, rows, columns + more), array.dtype)
    view = memory[..., :columns]
    view[...] = cupy.asarray(source)
    return view.swapaxes(-1, -2) if turned else view


def error_bound(a, b, alpha, beta, before, out):
    """K sums in float32 of exact products, the scaling, and one rounding to what is stored."""
    terms = abs(alpha) * (abs(a) @ abs(b)) + abs(beta) * abs(before)
    return (a.shape[-1] + 3) * 2.0**-24 * terms + 2 * UNIT[out] * (terms + 2.0**-126)


@given(sizes, sizes, sizes, layouts, layouts, st.sampled_from(KINDS), st.booleans(), st.data())
def test_every_shape_and_layout(bench, M, N, K, of_a, of_b, kind, wide, data):
    rng, gemm, cupy = np.random.default_rng(M), bench.module("gemm"), bench.cupy
    a, b = (rng.normal(size=shape).astype(kind) for shape in ((M, K), (K, N)))
    result = np.dtype(np.float32) if wide else kind
    before = rng.normal(size=(M, N)).astype(result)
    alpha, beta = data.draw(st.sampled_from([(1.0, 0.0), (1.0, 1.0), (-0.5, 0.25)]))
    out = laid_out(cupy, before, data.draw(st.sampled_from(["rows", "rows of more"])))
    if beta == 0:
        out[...] = np.nan  # what is not read cannot spoil the result
    found = gemm.gemm(laid_out(cupy, a, of_a), laid_out(cupy, b, of_b), out, alpha=alpha, beta=beta)
    assert found is out
    a, b, before = (x.astype(np.float64) for x in (a, b, before))
    wrong = abs(out.get().astype(np.float64) - (alpha * (a @ b) + beta * before))
    assert (wrong <= error_bound(a, b, alpha, beta, before, result)).all()


@given(sizes, sizes, sizes, sizes, layouts, layouts, st.sampled_from(KINDS))
def test_every_batch(bench, n, M, N, K, of_a, of_b, kind):
    rng, gemm, cupy = np.random.default_rng(n), bench.module("gemm"), bench.cupy
    a, b = (rng.normal(size=shape).astype(kind) for shape in ((n, M, K), (n, K, N)))
    out = cupy.empty((n, M, N), np.float32)
    gemm.gemm_batched(laid_out(cupy, a, of_a), laid_out(cupy, b, of_b), out, alpha=0.5)
    a, b = a.astype(np.float64), b.astype(np.float64)
    wrong = abs(out.get() - 0.5 * (a @ b))
    assert (wrong <= error_bound(a, b, 0.5, 0, 0 * wrong, out.dtype)).all()


def test_heads_of_a_packed_projection_are_factors_without_a_copy(bench):
    gemm, cupy = bench.module("gemm"), bench.cupy
    qkv = np.random.default_rng(0).normal(size=(5, 3, 2, 4)).astype(np.float32)  # (T, 3, H, D)
    q, k = (cupy.asarray(qkv)[:, i].transpose(1, 0, 2) for i in range(2))  # (H, T, D) views
    scores = gemm.gemm_batched(q, k.swapaxes(1, 2), cupy.empty((2, 5, 5), np.float32))
    expected = np.einsum("thd,shd->hts", qkv[:, 0].astype(float), qkv[:, 1].astype(float))
    assert np.abs(scores.get() - expected).max() < 8 * 2.0**-24 * np.abs(expected).max() * 4


def test_tf32_is_an_option(bench):
    """On a product that is large enough for the units that cut: of one number cuBLAS makes its own choice."""
    gemm, cupy = bench.module("gemm"), bench.cupy
    ones = cupy.asarray(np.float32(1 + 2.0**-12) * np.eye(256, dtype=np.float32))
    room = cupy.empty((256, 256), np.float32)
    assert (gemm.gemm(ones, ones, room).get().diagonal() == np.float32((1 + 2.0**-12) ** 2)).all()
    assert (gemm.gemm(ones, ones, room, compute=gemm.TF32).get().diagonal() == 1).all()


def test_what_cublas_cannot_read_is_refused(bench):
    gemm, cupy = bench.module("gemm"), bench.cupy
    array = cupy.asarray(np.ones((4, 4), np.float32))
    with pytest.raises(ValueError, match=r"no axis of a matrix with strides .* is contiguous: copy it"):
        gemm.gemm(array[::2, ::2], array[:2, :2], array[:2, :2])
    with pytest.raises(ValueError, match="the last axis of a result must be contiguous"):
        gemm.gemm(array[:2, :3], array[:3, :2], array[:2, :2].T)
