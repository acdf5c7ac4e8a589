"""The learning rate's course, against scalar formulas and against facts that need none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigpt.config import SCHEDULES, OptimizerConfig
from minigpt.optim import learning_rate
from reference.scalar import schedules
from reference.scalar.rounding import exact


@given(
    name=st.sampled_from(SCHEDULES),
    lr=st.sampled_from([6e-4, 1e-3, 1.0]),
    final=st.sampled_from([0.0, 0.1, 1.0]),
    steps=st.integers(1, 100_000),
    warmup=st.integers(0, 2000),
    done=st.floats(0, 1.2),
)
def test_every_schedule_is_its_formula(name, lr, final, steps, warmup, done):
    step = round(done * steps)
    got = learning_rate(step, OptimizerConfig(lr=lr, schedule=name, warmup=warmup, steps=steps, final=final))
    want = exact(getattr(schedules, name)(exact(step), exact(lr), warmup, steps, final))
    assert abs(got - want.value) <= want.bound()


@pytest.mark.parametrize("name", SCHEDULES)
def test_warmup_is_that_of_llm_c(name):
    optimizer = OptimizerConfig(lr=1.0, schedule=name, warmup=4, steps=100)
    rates = [learning_rate(step, optimizer) for step in range(5)]
    np.testing.assert_array_equal(rates, [0.25, 0.5, 0.75, 1, 1])


@pytest.mark.parametrize(("name", "half"), [("cosine", 0.55), ("linear", 0.55), ("constant", 1), ("wsd", 1)])
def test_half_way_and_the_end(name, half):
    optimizer = OptimizerConfig(lr=1.0, schedule=name, steps=100, final=0.1)
    assert learning_rate(50, optimizer) == pytest.approx(half, rel=1e-15)
    assert learning_rate(100, optimizer) == pytest.approx(1 if name == "constant" else 0.1, rel=1e-15)


def test_wsd_falls_by_the_square_root_over_the_last_fifth():
    optimizer = OptimizerConfig(lr=1.0, schedule="wsd", steps=500)
    rates = [learning_rate(step, optimizer) for step in (399, 400, 425, 436, 464)]
    np.testing.assert_allclose(rates, [1, 1, 0.5, 0.4, 0.2], rtol=1e-14)
