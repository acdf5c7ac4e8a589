"""classifier.cu against minigpt/ops/cross_entropy.py in float64."""

import numpy as np
import pytest

from minigpt import ops
from tests.support.cuda.running_error import Near, U, check, near

# rows, vocabulary, columns with padding: one word; few columns; more rows than threads; several rounds
SHAPES = [(1, 1, 1), (3, 5, 8), (5, 61, 64), (2, 97, 97), (1030, 3, 3), (3, 601, 601), (2, 4099, 4160)]


def draw_rows(draw, rows, V, padded, dtype, ignored):
    logits, logits64 = draw((1, rows, padded), dtype, 3)
    logits[..., V:] = np.nan  # padding must not matter
    targets = np.arange(rows, dtype=np.int32)[None] * 7 % V
    targets[0, 0] = V - 1
    if ignored:
        targets[0, 1:] = -1
    return logits, logits64[..., :V], targets


def weights(z, largest, dtype, V):
    """exp(z - largest), reached in one step or, where a row's largest was found late, in several."""
    x = z - near(largest)
    steps = 2 + V // 512  # a thread sees at most so many packets (512 threads; WIDTH 1 is the worst)
    per_exp = 4 if dtype == np.float32 else 4 + 2.32 * abs(x.value)
    return x.exp(steps * (per_exp + 2))


@pytest.mark.parametrize(("rows", "V", "padded"), SHAPES)
@pytest.mark.parametrize("ignored", [False, True])
def test_loss_and_gradient(bench, draw, dtype, rows, V, padded, ignored):
    logits, logits64, targets = draw_rows(draw, rows, V, padded, dtype, ignored)
    dloss = 0.3

    def run():
        z = bench.put(logits)
        return {"loss": bench.module("classifier").classifier(z, bench.put(targets), V, dloss), "dlogits": z}

    found = bench.run(run)
    loss, cache = ops.cross_entropy_forward(logits64, targets)
    dlogits = ops.cross_entropy_backward(dloss, cache)
    share = near(cache[2]).rounded()
    largest = logits64.max(-1, keepdims=True)
    w = weights(logits64, largest, dtype, V)
    total = w.sum(-1)
    chosen = np.take_along_axis(logits64, np.maximum(targets, 0)[..., None], -1)
    nll = (total.log() + largest - chosen).reshape(1, rows)
    check("loss", found["loss"], loss, (share * nll).sum())
    hit = np.maximum(targets, 0)[..., None] == np.arange(V)
    weight = (near(dloss).rounded() * share).reshape(1, rows, 1)
    check(
        "dlogits", found["dlogits"][..., :V], dlogits, (weight * (w * total.reciprocal() - hit)).stored(dtype)
    )
    assert (found["dlogits"][..., V:] == 0).all()


def test_the_loss_alone_leaves_the_logits(bench, draw, dtype):
    logits, logits64, targets = draw_rows(draw, 3, 61, 64, dtype, ignored=False)

    def run():
        z = bench.put(logits)
        return {"loss": bench.module("classifier").classifier(z, bench.put(targets), 61), "logits": z}

    found = bench.run(run)
    loss, _ = ops.cross_entropy_forward(logits64, targets)
    check("loss", found["loss"], loss, Near(loss, 400 * U * abs(loss)))
    assert found["logits"].astype(dtype).tobytes() == logits.tobytes()


def test_large_logits(bench, dtype):
    """Shifted by the largest, exp never overflows, and what is far below it counts nothing."""
    logits = np.array([[[1e4, -1e4, 9e3, 0], [-3e4, -3e4, -3e4, -3e4]]], dtype)
    targets = np.array([[0, 3]], np.int32)

    def run():
        z = bench.put(logits)
        return {"loss": bench.module("classifier").classifier(z, bench.put(targets), 4, 1.0), "dlogits": z}

    found = bench.run(run)
    assert abs(found["loss"] - np.log(4) / 2) <= 2 * U * 3e4  # log(sum) is lost in the size of the logits
    np.testing.assert_allclose(found["dlogits"][0, 0], 0, atol=1e-30)
    np.testing.assert_allclose(found["dlogits"][0, 1], [0.125, 0.125, 0.125, -0.375], rtol=1e-6)
