"""The score of a text, against a sum over its tokens one by one."""

import math

import numpy as np
import pytest

import minigpt
from minigpt import kernels
from minigpt.data import ordered_windows
from minigpt.evaluate import evaluate

CONFIG = minigpt.GPTConfig(n_layer=1, n_head=2, n_embd=8, n_ctx=8, n_vocab=13)


def nats_one_by_one(params, ids, context):
    """-log p of every token but the first, given what stands before it in its window."""
    total = 0.0
    for place in range(1, len(ids)):
        start = (place - 1) // context * context
        logits = minigpt.logits(CONFIG, params, ids[None, start:place])[0, -1]
        total += math.log(np.exp(logits - logits[ids[place]]).sum())
    return total


@pytest.mark.parametrize("batch_size", [1, 2, 7])
@pytest.mark.parametrize("n", [2, 8, 9, 30])
def test_score_is_the_sum_over_all_tokens_for_any_batch_size(n, batch_size):
    params = minigpt.init_params(CONFIG, dtype="float64")
    params.buffer[:] *= 10
    ids = np.random.default_rng(n).integers(0, 13, n)
    table = kernels.table("reference", "float64")
    score = evaluate(CONFIG, table, params, *ordered_windows(ids, 4), n_bytes=100, batch_size=batch_size)
    nats = nats_one_by_one(params, ids, 4)
    assert score.nats_per_token == pytest.approx(nats / (n - 1), rel=1e-12)
    assert score.bits_per_byte == pytest.approx(nats / math.log(2) / 100, rel=1e-12)


def test_a_model_that_knows_nothing_needs_log2_of_v_bits_a_token():
    params = minigpt.init_params(CONFIG, dtype="float64")
    params.buffer[:] = 0
    table = kernels.table("reference", "float64")
    score = evaluate(CONFIG, table, params, *ordered_windows(np.zeros(21, int), 8), n_bytes=20, batch_size=2)
    assert score.nats_per_token == pytest.approx(math.log(13), rel=1e-14)
    assert score.bits_per_byte == pytest.approx(math.log2(13), rel=1e-14)
