"""The model: its gradient parameter by parameter, its parameters, and what is exact to the last bit."""

import math

import numpy as np
import pytest
from hypothesis import given, target
from hypothesis import strategies as st

from minigpt import model
from minigpt.comm import Alone
from minigpt.config import PRESETS, GPTConfig, OptimizerConfig
from minigpt.model import forward, init_params, param_shapes
from minigpt.train import new_state, train_step
from tests.support.model_proofs import CHECKS
from tests.support.models import (
    TINY,
    direction_error,
    gradient_of,
    loss_of,
    random_batch,
    random_params,
    slope_of_each,
)
from tests.support.tables import reference_table


@st.composite
def configs(draw):
    """Any small model."""
    n_head = draw(st.integers(1, 3))
    return GPTConfig(
        n_layer=draw(st.integers(1, 3)),
        n_head=n_head,
        n_embd=n_head * draw(st.integers(1, 4)),
        n_ctx=draw(st.integers(1, 6)),
        n_vocab=draw(st.integers(1, 9)),
    )


def test_every_single_parameter_has_its_derivative():
    params, (tokens, targets) = random_params(TINY), random_batch(TINY, B=3, T=5)
    slopes = slope_of_each(TINY, params, tokens, targets)
    grads = gradient_of(TINY, params, tokens, targets)
    for name, slope in slopes.items():
        error = np.abs(grads[name] - slope).max() / np.abs(slope).max()
        assert error <= 1e-13, f"{name}: {error:.1e}"


@given(config=configs(), B=st.integers(1, 3), seed=st.integers(0, 2**32 - 1), data=st.data())
def test_any_model_along_a_random_direction(config, B, seed, data):
    params = random_params(config, seed)
    tokens, targets = random_batch(config, B, data.draw(st.integers(1, config.n_ctx)), seed)
    error = direction_error(config, params, tokens, targets, seed=seed)
    target(error)
    assert error <= 1e-12


@pytest.mark.parametrize(
    ("preset", "count"),
    [
        ("gpt2", 124_439_808),
        ("gpt2-medium", 354_823_168),
        ("gpt2-large", 774_030_080),
        ("gpt2-xl", 1_557_611_200),
    ],
)
def test_the_published_sizes_have_exactly_their_parameters(preset, count):
    assert sum(math.prod(shape) for shape in param_shapes(PRESETS[preset]).values()) == count


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_model(check):
    check(model)


def test_init_has_the_paper_s_spread():
    config = GPTConfig(n_layer=8, n_head=4, n_embd=64, n_ctx=64, n_vocab=500)
    for name, param in init_params(config, seed=1, dtype="float64").items():
        if name.endswith("bias"):
            assert not param.any(), name
        elif "ln_" in name:
            assert (param == 1).all(), name
        else:
            std = 0.02 / math.sqrt(2 * 8) if name.endswith("c_proj.weight") else 0.02
            # a standard deviation estimated from n draws is itself off by 1 / sqrt(2 n): six of those
            assert abs(param.std() / std - 1) < 6 / math.sqrt(2 * param.size), name
            assert abs(param.mean()) < 6 * std / math.sqrt(param.size), name


def test_both_precisions_start_from_the_same_model():
    half, full = (init_params(TINY, seed=3, dtype=dtype).buffer for dtype in ("float32", "float64"))
    assert half.dtype == np.float32
    assert half.tobytes() == full.astype(np.float32).tobytes()


def test_seeds_differ_and_repeat():
    one, again, other = (init_params(TINY, seed=seed).buffer.tobytes() for seed in (1, 1, 2))
    assert one == again != other


def test_a_new_model_knows_nothing():
    config = GPTConfig(n_layer=3, n_head=4, n_embd=32, n_ctx=16, n_vocab=300)
    params, batch = init_params(config, dtype="float64"), random_batch(config, B=4, T=16)
    assert abs(loss_of(config, params.buffer, *batch) - math.log(300)) < 0.2


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("t", [1, 2, 5, 7])
def test_logits_before_t_do_not_change_by_a_bit_whatever_follows(t, dtype):
    config = GPTConfig(n_layer=3, n_head=2, n_embd=16, n_ctx=8, n_vocab=11)
    params, (tokens, _) = random_params(config, dtype=dtype), random_batch(config, B=2, T=8)
    logits, _ = forward(config, reference_table(), params, tokens)
    for seed in range(5):
        other = tokens.copy()
        other[:, t:] = np.random.default_rng(seed).integers(0, 11, (2, 8 - t))
        changed, _ = forward(config, reference_table(), params, other)
        assert changed[:, :t].tobytes() == logits[:, :t].tobytes()
        assert changed[:, t:].tobytes() != logits[:, t:].tobytes()


@pytest.mark.parametrize("parts", [2, 3, 6])
def test_one_batch_is_k_micro_batches(parts):
    params, tokens = random_params(TINY), np.random.default_rng(0).integers(0, 7, (6, 5))
    targets = np.random.default_rng(1).integers(0, 7, (6, 5))
    whole, loss = gradient_of_step(params, [(tokens, targets)])
    split = list(zip(np.split(tokens, parts), np.split(targets, parts), strict=True))
    summed, mean_loss = gradient_of_step(params, split)
    assert abs(mean_loss - loss) <= 1e-13 * loss
    for name in whole:
        assert np.abs(summed[name] - whole[name]).max() <= 1e-13 * np.abs(whole[name]).max(), name


def gradient_of_step(params, batches):
    """What train_step has collected as the gradient, and the loss it reports."""
    optimizer = OptimizerConfig(clip=None)
    state, report = train_step(TINY, optimizer, reference_table(), Alone(), new_state(params), batches)
    return state.grads, report.loss


def test_one_batch_can_be_learned_by_heart():
    config = GPTConfig(n_layer=1, n_head=2, n_embd=16, n_ctx=8, n_vocab=13)
    tokens, targets = np.random.default_rng(0).integers(0, 13, (2, 2, 8))
    optimizer = OptimizerConfig(lr=1e-2, weight_decay=0.0)
    state = new_state(init_params(config, dtype="float64"))
    for _ in range(150):
        state, report = train_step(config, optimizer, reference_table(), Alone(), state, [(tokens, targets)])
    assert report.loss < 0.01
