"""attention_forward.cu and attention_backward.cu against minigpt/ops/attention.py in float64."""

import ml_dtypes
import numpy as np
import pytest

from minigpt import ops
from minigpt.ops.attention import split_heads
from tests.support.cuda.running_error import Near, check, near

BF16 = np.dtype(ml_dtypes.bfloat16)
# B, T, H: one position; part of a tile; one tile; one key more; one block; several blocks, the last one short
SHAPES = [(1, 1, 1), (2, 17, 1), (1, 64, 2), (1, 65, 1), (1, 128, 1), (2, 161, 2)]


def heads(x, H):
    return split_heads(x, H)  # (B, H, T, 64)


def matmul(a, b):
    """near(a @ b), the products added up in any order."""
    a, b = near(a), near(b)
    terms = (abs(a.value) + a.error) @ (abs(b.value) + b.error)
    passed = terms - abs(a.value) @ abs(b.value)
    return Near(a.value @ b.value, passed + (a.value.shape[-1] + 1) * 2.0**-24 * terms)


def turned(x):
    return Near(x.value.swapaxes(-1, -2), x.error.swapaxes(-1, -2))


def near_exp(x, steps=1):
    """ex2.approx of a multiple of x: 2 ulp and the exponent's rounding; steps: so many factors make it up."""
    return x.exp(steps * (4 + 2 * 1.45 * abs(x.value) + 1))


def merged(x):
    """(B, H, T, 64) -> (B, T, C)"""
    B, H, T, D = x.value.shape
    return Near(*(a.transpose(0, 2, 1, 3).reshape(B, T, H * D) for a in (x.value, x.error)))


def near_attention(qkv, H):
    """y and lse: probs are rounded to bfloat16 before they meet v."""
    q, k, v = (heads(x, H) for x in np.split(qkv, 3, axis=-1))
    T = q.shape[2]
    seen, steps = np.tri(T, dtype=bool), 1 + -(-T // 64)  # a row's largest score may change with every tile
    s = 0.125 * matmul(q, k.swapaxes(-1, -2))
    largest = np.where(seen, s.value, -np.inf).max(-1, keepdims=True)
    x = Near(np.where(seen, s.value - largest, -1e4), np.where(seen, s.error, 0)).rounded(2)
    w = near_exp(x, steps) * seen
    total = w.sum(-1)
    y = matmul(w.stored(BF16), v) * total.reciprocal()
    return merged(y).stored(BF16), (total.log() + largest).rounded(4)


@pytest.mark.parametrize(("B", "T", "H"), SHAPES)
@pytest.mark.parametrize("scale", [1, 4])  # 4: scores up to about 60
def test_forward(bench, draw, B, T, H, scale):
    qkv, qkv64 = draw((B, T, 3 * 64 * H), BF16, scale)
    attention = bench.module("attention_forward")
    found = bench.run(
        lambda: dict(zip(("y", "lse"), attention.attention_forward(bench.put(qkv), H), strict=True))
    )
    y, (q, k, _, _) = ops.attention_forward(qkv64, H)
    near_y, near_lse = near_attention(qkv64, H)
    check("y", found["y"], y, near_y)
    scores = np.where(np.tri(T, dtype=bool), q @ k.swapaxes(-1, -2) / 8, -np.inf)
    check("lse", found["lse"], np.logaddexp.reduce(scores, axis=-1), near_lse)


def near_gradient(dy, qkv, y, lse, H):
    """dq, dk, dv: probs and ds are rounded to bfloat16 before they are multiplied."""
    q, k, v = (heads(x, H) for x in np.split(qkv, 3, axis=-1))
    do = heads(dy, H)
    T = q.shape[2]
    seen = np.tri(T, dtype=bool)
    s = 0.125 * matmul(q, k.swapaxes(-1, -2))
    x = s - lse[..., None]
    x = Near(np.where(seen, x.value, -1e4), np.where(seen, x.error, 0)) + Near(
        0 * lse[..., None], 2.0**-23 * abs(lse[..., None])
    )
    probs = near_exp(x) * seen
    delta = (near(do) * heads(y, H)).sum(-1)
    ds = probs * (matmul(do, v.swapaxes(-1, -2)) - delta)
    dq = 0.125 * matmul(ds.stored(BF16), k)
    dk = 0.125 * matmul(turned(ds.stored(BF16)), q)
    dv = matmul(turned(probs.stored(BF16)), do)
    return [merged(x).stored(BF16) for x in (dq, dk, dv)]


@pytest.mark.parametrize(("B", "T", "H"), SHAPES)
def test_backward(bench, draw, B, T, H):
    (qkv, qkv64), (dy, dy64) = draw((B, T, 3 * 64 * H), BF16), draw((B, T, 64 * H), BF16)
    y64, (q, k, _, _) = ops.attention_forward(qkv64, H)
    lse64 = np.logaddexp.reduce(np.where(np.tri(T, dtype=bool), q @ k.swapaxes(-1, -2) / 8, -np.inf), axis=-1)
    y, lse = y64.astype(BF16), lse64.astype(np.float32)  # as forward keeps them
    module = bench.module("attention_backward")
    found = bench.run(lambda: {"dqkv": module.attention_backward(*map(bench.put, (dy, qkv, y, lse)))})

    # delta = dy . y is taken from the rounded y: what the equation gives for that is expected
    exact = exact_gradient(dy64, qkv64, y.astype(np.float64), lse.astype(np.float64), H)
    bounds = near_gradient(dy64, qkv64, y.astype(np.float64), lse.astype(np.float64), H)
    parts = np.split(found["dqkv"], 3, axis=-1)
    for name, part, truth, bound in zip(("dq", "dk", "dv"), parts, exact, bounds, strict=True):
        check(name, part, truth, bound)
    reference = ops.attention_backward(dy64, ops.attention_forward(qkv64, H)[1])
    scale = np.sqrt((reference**2).mean()) + 1e-3
    assert (
        np.sqrt(((found["dqkv"] - reference) ** 2).mean()) <= 2.0**-7 * scale
    )  # and near the reference for the exact y


def exact_gradient(dy, qkv, y, lse, H):
    q, k, v = (heads(x, H) for x in np.split(qkv, 3, axis=-1))
    do = heads(dy, H)
    probs = np.where(np.tri(q.shape[2], dtype=bool), np.exp(q @ k.swapaxes(-1, -2) / 8 - lse[..., None]), 0)
    ds = probs * (do @ v.swapaxes(-1, -2) - (do * heads(y, H)).sum(-1, keepdims=True)) / 8
    return [merged(near(x)).value for x in (ds @ k, ds.swapaxes(-1, -2) @ q, probs.swapaxes(-1, -2) @ do)]


def test_no_memory_bank_waits(bench, draw):
    if not hasattr(bench.cupy, "COUNTS"):
        pytest.skip("counted by the emulation")
    (qkv, _), (dy, _) = draw((1, 130, 192), BF16), draw((1, 130, 64), BF16)
    before = bench.cupy.COUNTS.bank_conflicts
    qkv, dy = bench.put(qkv), bench.put(dy)
    y, lse = bench.module("attention_forward").attention_forward(qkv, 1)
    bench.module("attention_backward").attention_backward(dy, qkv, y, lse)
    assert bench.cupy.COUNTS.bank_conflicts == before


def test_what_is_supported(bench):
    supports = bench.module("attention_forward").supports
    assert supports(64, BF16)
    assert not supports(64, "float32")
    assert not supports(32, BF16)
