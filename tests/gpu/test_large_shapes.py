"""Every kernel at GPT-2's own sizes, within the bounds that tests/kernels/cuda derives for small ones."""

import ml_dtypes
import numpy as np
import pytest

from tests.kernels.cuda import (
    test_adamw,
    test_attention,
    test_classifier,
    test_embedding,
    test_gelu,
    test_gemm,
    test_layernorm,
    test_softmax,
    test_sums,
)


def test_layernorm_forward(bench, draw, dtype, sizes):
    test_layernorm.test_forward(bench, draw, dtype, sizes.rows, "x + branch + bias")


def test_layernorm_backward(bench, draw, dtype, sizes, monkeypatch):
    strips = bench.module("layernorm").STRIPS
    test_layernorm.test_backward(bench, draw, dtype, sizes.rows, strips, True, True, 4, monkeypatch)


def test_gelu_forward(bench, draw, dtype, sizes):
    test_gelu.test_forward(bench, draw, dtype, sizes.wide, biased=True)


def test_gelu_backward(bench, draw, dtype, sizes, monkeypatch):
    strips = bench.module("gelu").STRIPS
    test_gelu.test_backward(bench, draw, dtype, sizes.wide, strips, True, True, monkeypatch)


def test_column_sums(bench, draw, dtype, sizes, monkeypatch):
    strips = bench.module("column_sum").STRIPS
    test_sums.test_column_sum(bench, draw, dtype, sizes.wide, strips, True, monkeypatch)


def test_additions(bench, draw, dtype, sizes):
    test_sums.test_bias_add(bench, draw, dtype, sizes.wide)
    test_sums.test_residual_add(bench, draw, dtype, sizes.rows)


def test_attention_forward(bench, draw, sizes):
    test_attention.test_forward(bench, draw, *sizes.attention, scale=1)


def test_attention_backward(bench, draw, sizes):
    test_attention.test_backward(bench, draw, *sizes.attention)


def test_scores(bench, draw, dtype, sizes):
    shape = (*sizes.scores, sizes.scores[-1])
    test_softmax.test_forward(bench, draw, dtype, shape)
    test_softmax.test_backward(bench, draw, dtype, shape)


def test_classes(bench, draw, dtype, sizes):
    test_classifier.test_loss_and_gradient(bench, draw, dtype, *sizes.classes, ignored=False)


def test_tokens_and_positions(bench, draw, dtype, sizes):
    example = test_embedding.examples(draw)
    test_embedding.test_forward(bench, example, dtype, sizes.embedding)
    test_embedding.test_backward(bench, draw, example, dtype, sizes.embedding, add=True)


def test_norm(bench, draw, sizes, monkeypatch):
    test_adamw.test_norm(bench, draw, sizes.flat, "put", bench.module("adamw").PARTS, monkeypatch)


def test_update(bench, draw, sizes):
    test_adamw.test_adamw(bench, draw, sizes.flat, "put", "bfloat16", step=7, clip=1.0)


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("turned", [False, True])
def test_products(bench, dtype, sizes, wide, turned):
    gemm, rng = bench.module("gemm"), np.random.default_rng(0)
    for M, K, N in sizes.products:
        a, b = (rng.normal(size=shape).astype(dtype) for shape in ((M, K), (K, N)))
        result = np.dtype(np.float32) if wide else dtype
        layout = "turned" if turned else "rows"
        out = bench.put(np.zeros((M, N), result))
        gemm.gemm(*(test_gemm.laid_out(bench.cupy, x, layout) for x in (a, b)), out)
        a, b = a.astype(np.float64), b.astype(np.float64)
        wrong = abs(out.get().astype(np.float64) - a @ b)
        assert (wrong <= test_gemm.error_bound(a, b, 1, 0, 0 * wrong, result)).all()


def test_more_rows_than_a_grid_has_places_for(bench, sizes):
    """The second and third axis of a grid end at 65,535, the first does not: rows must be along it."""
    bias, rows = bench.module("bias"), 70_001 if sizes.busy > 1000 else 101
    x = np.arange(rows, dtype=np.float32)[None, :, None] % 251 * np.ones(8, np.float32)
    found = bias.bias_add(bench.put(x), bench.put(np.ones(8, np.float32))).get()
    assert (found == x + 1).all()
    assert found.astype(ml_dtypes.bfloat16).shape == x.shape
