"""cudnn_attention.py against minigpt/ops/attention.py in float64."""

import ml_dtypes
import numpy as np
import pytest

from minigpt import ops
from tests.support.cuda import fake_cudnn
from tests.support.device_memory import METER

BF16 = np.dtype(ml_dtypes.bfloat16)
# B, T, H, D: heads of 64 and others, lengths off every block, two positions
SHAPES = [(2, 17, 2, 64), (1, 130, 1, 64), (3, 7, 3, 8), (2, 2, 1, 40), (1, 20, 2, 128)]
ROUNDING = 2.0**-7  # two roundings to bfloat16, of factors and of the result
FULL = 68


def close(found, expected):
    """Every number within what its neighbours' size leaves to roundings."""
    found = found.get().astype(np.float64)
    scale = np.sqrt((expected**2).mean())
    assert np.abs(found - expected).max() <= 4 * ROUNDING * max(scale, np.abs(expected).max())
    assert np.sqrt(((found - expected) ** 2).mean()) <= ROUNDING * scale


@pytest.mark.parametrize(("B", "T", "H", "D"), SHAPES)
def test_forward_and_backward(bench, draw, B, T, H, D):
    module = bench.module("cudnn_attention")
    (qkv, exact), (dy, dy_exact) = draw((B, T, 3 * H * D), BF16), draw((B, T, H * D), BF16)
    y, cache = module.attention_forward(bench.put(qkv), H, compute=FULL)
    assert isinstance(cache, module.Cache)
    expected, saved = ops.attention_forward(exact, H)
    close(y, expected)
    q, k = saved[:2]
    scores = np.where(np.tri(T, dtype=bool), q @ k.swapaxes(-1, -2) / np.sqrt(D), -np.inf)
    assert np.abs(cache.lse.get() - np.logaddexp.reduce(scores, axis=-1)).max() < 1e-4
    dqkv = module.attention_backward(bench.put(dy), cache, compute=FULL)
    parts = zip(thirds(dqkv), np.split(ops.attention_backward(dy_exact, saved), 3, axis=-1), strict=True)
    for part, truth in parts:
        close(part, truth)


def thirds(x):
    """The three parts of a row.

    x (B, T, 3C)
    """
    C = x.shape[-1] // 3
    return [x[..., i * C : (i + 1) * C] for i in range(3)]


@pytest.mark.parametrize(
    ("dtype", "T", "H", "D"), [(BF16, 1, 2, 64), (BF16, 5, 3, 12), (BF16, 4, 1, 136), (np.float32, 5, 2, 64)]
)
def test_what_cudnn_does_not_do_goes_another_way(bench, draw, dtype, T, H, D):
    module = bench.module("cudnn_attention")
    (qkv, exact), (dy, dy_exact) = draw((2, T, 3 * H * D), dtype), draw((2, T, H * D), dtype)
    y, cache = module.attention_forward(bench.put(qkv), H, compute=FULL)
    assert not isinstance(cache, module.Cache)
    expected, saved = ops.attention_forward(exact, H)
    close(y, expected)
    dqkv = module.attention_backward(bench.put(dy), cache, compute=FULL)
    close(dqkv, ops.attention_backward(dy_exact, saved))


def test_two_passes_give_the_same_bits(bench, draw):
    module, (qkv, _), (dy, _) = (
        bench.module("cudnn_attention"),
        draw((2, 140, 384), BF16),
        draw((2, 140, 128), BF16),
    )
    found = []
    for _ in range(2):
        y, cache = module.attention_forward(bench.put(qkv), 2, compute=FULL)
        found.append(
            (y.get().tobytes(), module.attention_backward(bench.put(dy), cache, compute=FULL).get().tobytes())
        )
    assert found[0] == found[1]


@pytest.mark.emulation
def test_each_shape_is_planned_once_and_deterministic(bench, draw, monkeypatch):
    module, graphs, new = bench.module("cudnn_attention"), [], fake_cudnn.pygraph
    module.forward_graph.cache_clear()
    module.backward_graph.cache_clear()
    monkeypatch.setattr(fake_cudnn, "pygraph", lambda **options: graphs.append(new(**options)) or graphs[-1])
    for T in (9, 9, 10):
        (qkv, _), (dy, _) = draw((1, T, 3 * 64), BF16), draw((1, T, 64), BF16)
        _, cache = module.attention_forward(bench.put(qkv), 1, compute=FULL)
        module.attention_backward(bench.put(dy), cache, compute=FULL)
    assert [graph.node.name for graph in graphs] == ["sdpa", "sdpa_backward"] * 2
    assert all(graph.deterministic for graph in graphs[1::2])


@pytest.mark.emulation
def test_the_kernel_runs_on_the_current_stream(bench, draw, monkeypatch):
    module, (qkv, _) = bench.module("cudnn_attention"), draw((1, 9, 3 * 64), BF16)
    stream = type("Stream", (), {"ptr": 77})
    monkeypatch.setattr(bench.cupy.cuda, "get_current_stream", lambda: stream)
    module.attention_forward(bench.put(qkv), 1, compute=FULL)
    assert fake_cudnn.STREAMS[-1] == 77


@pytest.mark.emulation
def test_the_library_is_started_once(bench, draw):
    module, (qkv, _) = bench.module("cudnn_attention"), draw((1, 9, 3 * 64), BF16)
    module.attention_forward(bench.put(qkv), 1, compute=FULL)
    before = len(fake_cudnn.CREATED)
    module.attention_forward(bench.put(qkv), 1, compute=FULL)
    assert len(fake_cudnn.CREATED) == before


@pytest.mark.emulation
def test_a_graph_gets_all_the_memory_that_it_asks_for(bench, draw, monkeypatch):
    monkeypatch.setattr(fake_cudnn.pygraph, "get_workspace_size", lambda graph: 2**20)
    module, (qkv, _) = bench.module("cudnn_attention"), draw((1, 9, 3 * 64), BF16)
    qkv = bench.put(qkv)
    METER.restart()
    before = METER.live
    module.attention_forward(qkv, 1, compute=FULL)
    assert METER.peak - before >= 2**20
