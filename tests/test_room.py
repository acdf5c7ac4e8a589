"""What is refused for want of memory could not have worked: the count is the least that a step takes."""

import tracemalloc

import numpy as np
import pytest

from minigpt import ConfigError, GPTConfig, Trainer, evaluate, init_params, reading, room
from minigpt.kernels import table
from minigpt.model_files import Model

SHAPES = [(4, 4, 64, 300, 4, 64), (2, 2, 32, 3000, 2, 64)]


TABLES = [("fast", "float32"), ("reference", "float32"), ("reference", "float64")]


@pytest.mark.parametrize(("ops", "dtype"), TABLES)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_step_takes_what_is_counted_and_less_than_four_times_of_it(shape, ops, dtype):
    L, H, C, V, B, T = shape
    config, size = GPTConfig(L, H, C, T, V), np.dtype(dtype).itemsize
    tokens, targets = np.random.default_rng(0).integers(0, V, (2, B, T))
    warm = Trainer(config, init_params(config, dtype=dtype), ops=ops, threads=1)
    warm.step(tokens, targets)  # what is made once and kept
    tracemalloc.start()
    trainer = Trainer(config, init_params(config, dtype=dtype), ops=ops, threads=1)
    trainer.step(tokens, targets)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    least = sum(room.step_bytes(config, B, T, size, ops == "reference").values())
    assert least <= peak <= 4 * least


def test_a_batch_to_evaluate_takes_what_is_counted():
    config = GPTConfig(2, 2, 64, 64, 300)
    model = Model(config, init_params(config), None, table("fast", "float32", 1))
    tokens = np.random.default_rng(0).integers(0, 300, (64, 64))
    reading.last_states(config, model.ops, model.params, tokens)
    tracemalloc.start()
    reading.last_states(config, model.ops, model.params, tokens)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    counted = room.PASSING * 4 * tokens.size * config.n_embd
    assert counted <= peak <= 4 * counted


def test_a_batch_that_cannot_be_evaluated_is_refused_before(monkeypatch):
    config = GPTConfig(1, 1, 8, 16, 300)
    model = Model(config, init_params(config), None, table("fast", "float32", 1))
    monkeypatch.setattr(room, "available_bytes", lambda: 1e4)
    evaluate.check_batch(model, 3, 16)
    with pytest.raises(ConfigError, match=r"a batch of 4 x 16 tokens needs .* use a smaller batch-size"):
        evaluate.check_batch(model, 4, 16)
