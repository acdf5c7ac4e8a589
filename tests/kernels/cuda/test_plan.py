"""What `minigpt plan` says of a GPU's memory is what a step holds there, on the stand-in."""

import gc

import numpy as np
import pytest

import minigpt
from minigpt.plan import planned
from minigpt.planning.options import Plan
from tests.support.device_memory import METER

pytestmark = pytest.mark.emulation


# heads of 64 channels go in tiles in bfloat16, others by scores
@pytest.mark.parametrize(("heads", "dtype"), [(1, "bfloat16"), (4, "float32")])
def test_a_plan_is_what_a_step_holds(bench, heads, dtype):
    B, T = 3, 18
    flags = {"n_layer": 2, "n_head": heads, "n_embd": 64, "n_vocab": 67, "context": T, "batch_size": B}
    found = planned(Plan(dtype=dtype, tokens_per_step=B * T, mfu=0.1, **flags))["memory"]
    gc.collect()
    before = METER.live
    config = minigpt.GPTConfig(2, heads, 64, T, 67)
    trainer = minigpt.Trainer(config, minigpt.init_params(config), device="cupy", dtype=dtype)
    resident = METER.live - before
    tokens = np.random.default_rng(0).integers(0, 67, (B, T))
    trainer.step(tokens, tokens)
    METER.restart()
    trainer.step(tokens, tokens)
    parts = found["parts"]
    copy = parts["always"]["weights"] if dtype == "bfloat16" else 0
    assert resident == sum(parts["always"].values()) - copy
    assert found["bytes"] == pytest.approx(METER.peak - before, rel=0.001)
    kept = sum(parts["activations"].values()) + sum(parts["attention"].values()) + parts["logits"]
    work = sum(parts["other"].values())
    assert kept == pytest.approx(METER.peak - before - resident - copy - work, rel=0.05)
