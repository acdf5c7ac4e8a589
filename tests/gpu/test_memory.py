"""Running out of the GPU's memory: one line, which names a batch that does fit."""

import re

import numpy as np
import pytest

import minigpt
from bench.gpu.setting import GPU, MINIATURE, quick_params
from minigpt import memory
from minigpt.arrays import gpu_memory
from tests.support.device_memory import METER


@pytest.fixture
def setting(bench, monkeypatch):
    """GPT-2 on a GPU; on the stand-in so small a device that little fills it."""
    if not bench.mode:
        return GPU
    room = memory.step_bytes(MINIATURE.model, 3, MINIATURE.model.n_ctx)
    monkeypatch.setattr(memory, "OTHERS", 0)
    monkeypatch.setattr(METER, "limit", METER.live + sum(room.values()) + 2000)  # losses, moments of the test
    base, seen = METER.live, memory.gpu_memory
    available = lambda: seen()._replace(available=METER.limit - base)  # noqa: E731
    monkeypatch.setattr(memory, "gpu_memory", available)
    return MINIATURE


def test_the_line_names_a_batch_that_fits(setting):
    config, T = setting.model, setting.model.n_ctx
    one = minigpt.Trainer(config, quick_params(config), device="cupy", dtype="bfloat16")
    too_many = 1 + round(1.1 * memory.largest_batch(config, T, "bfloat16", memory.gpu_memory().available))
    tokens = np.zeros((too_many, T), int)
    with pytest.raises(MemoryError) as raised:
        one.step(tokens, tokens)
    said = str(raised.value)
    assert "\n" not in said
    assert f"a batch of {too_many} x {T} tokens in bfloat16 takes " in said
    fits = int(re.search(r"the largest batch that fits is (\d+)$", said)[1])
    assert 0 < fits < too_many
    one.step(tokens[:fits], tokens[:fits])
    assert gpu_memory().used > 0
