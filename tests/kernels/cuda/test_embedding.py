"""embedding.cu against minigpt/ops/embedding.py in float64."""

import numpy as np
import pytest

from minigpt import ops
from tests.support.cuda.running_error import Near, check, near

# B, T, V, C, positions
SHAPES = [(1, 1, 1, 1, 1), (3, 5, 7, 33, 9), (2, 9, 3, 264, 9), (2, 10, 50, 1032, 11), (13, 3, 2, 8, 4)]


def examples(draw):
    """example(B, T, V, C, N, dtype): tokens, and both tables as they are stored and in float64."""

    def make(B, T, V, C, N, dtype):
        tokens = np.random.default_rng(B + T).integers(0, V, (B, T)).astype(np.int32)
        tokens[0, 0] = V - 1
        return tokens, draw((V, C), dtype), draw((N, C), dtype)

    return make


@pytest.fixture
def example(draw):
    return examples(draw)


@pytest.mark.parametrize("shape", SHAPES)
def test_forward(bench, example, dtype, shape):
    tokens, (wte, wte64), (wpe, wpe64) = example(*shape, dtype)
    embedding = bench.module("embedding")
    found = bench.run(lambda: {"x": embedding.embedding_forward(*map(bench.put, (tokens, wte, wpe)))})
    x, _ = ops.embedding_forward(tokens, wte64, wpe64)
    check("x", found["x"], x, (near(wte64[tokens]) + wpe64[: shape[1]]).stored(dtype))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("add", [True, False])
def test_backward(bench, draw, example, dtype, shape, add):
    B, T, V, C, N = shape
    tokens, (_, wte64), (_, wpe64) = example(*shape, dtype)
    (dx, dx64), (wte_before, wte_before64), (wpe_before, wpe_before64) = (
        draw((B, T, C), dtype), draw((V, C), "float32"), draw((N, C), "float32"),
    )  # fmt: skip
    embedding = bench.module("embedding")

    def run():
        dwte, dwpe = bench.odd(wte_before), bench.odd(wpe_before)
        embedding.embedding_backward_tokens(bench.put(dx), bench.put(tokens), out=dwte, add=add)
        embedding.embedding_backward_positions(bench.put(dx), out=dwpe, add=add)
        return {"dwte": dwte, "dwpe": dwpe}

    found = bench.run(run)
    dwte, dwpe = ops.embedding_backward(dx64, (tokens, wte64, wpe64))
    sizes, _ = ops.embedding_backward(abs(dx64), (tokens, wte64, wpe64))  # sum of |terms| of every row
    counts = np.bincount(tokens.ravel(), minlength=V)[:, None]
    tokens_bound = near(wte_before64 * add) + Near(dwte, counts * 2.0**-24 * sizes)
    unused = np.zeros((N - T, C))
    positions = near(dx64).sum(0)
    positions_bound = near(wpe_before64 * add) + Near(
        np.concatenate([positions.value[0], unused]), np.concatenate([positions.error[0], unused])
    )
    check("dwte", found["dwte"], wte_before64 * add + dwte, tokens_bound)
    check("dwpe", found["dwpe"], wpe_before64 * add + dwpe, positions_bound)
    if not add:
        assert (found["dwte"][counts[:, 0] == 0] == 0).all()
        assert (found["dwpe"][T:] == 0).all()
