"""The model: its gradient parameter by parameter, its parameters, and what is exact to the last bit."""

import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigpt.arrays import collect
from minigpt.comm import Alone
from minigpt.config import PRESETS, GPTConfig, OptimizerConfig
from minigpt.model import backward, forward, init_params, param_shapes, within
from minigpt.train import new_state, train_step
from tests.support.complex_step import derivative
from tests.support.models import (
    TINY,
    gradient_of,
    loss_of,
    random_batch,
    random_params,
    slope_of_each,
    terms_of_gradient,
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
    began = time.process_time()
    slopes = slope_of_each(TINY, params, tokens, targets)
    seconds = time.process_time() - began
    grads = gradient_of(TINY, params, tokens, targets)
    for name, slope in slopes.items():
        error = np.abs(grads[name] - slope).max() / np.abs(slope).max()
        assert error <= 1e-13, f"{name}: {error:.1e}"
    assert seconds < 2, "proving every parameter must stay cheap enough to do on every change"


@given(config=configs(), B=st.integers(1, 3), seed=st.integers(0, 2**32 - 1), data=st.data())
def test_any_model_along_a_random_direction(config, B, seed, data):
    params = random_params(config, seed)
    tokens, targets = random_batch(config, B, data.draw(st.integers(1, config.n_ctx)), seed)
    v = np.random.default_rng(seed).normal(size=params.buffer.size)
    slope = derivative(lambda buffer: loss_of(config, buffer, tokens, targets), params.buffer, v)
    gradient = flat(params, gradient_of(config, params, tokens, targets))
    terms = flat(params, terms_of_gradient(config, params, tokens, targets))
    assert abs(v @ gradient - slope) <= 1e-13 * (np.abs(v) @ terms)


def flat(params, grads):
    """Gradients as one vector in the layout of params."""
    return collect(grads.items(), into=params.like(np.empty_like(params.buffer)), add=False).buffer


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


def test_names_and_shapes_are_gpt2_s():
    assert param_shapes(GPTConfig(n_layer=1, n_head=2, n_embd=4, n_ctx=5, n_vocab=7)) == {
        "wte.weight": (7, 4),
        "wpe.weight": (5, 4),
        "h.0.ln_1.weight": (4,),
        "h.0.ln_1.bias": (4,),
        "h.0.attn.c_attn.weight": (4, 12),
        "h.0.attn.c_attn.bias": (12,),
        "h.0.attn.c_proj.weight": (4, 4),
        "h.0.attn.c_proj.bias": (4,),
        "h.0.ln_2.weight": (4,),
        "h.0.ln_2.bias": (4,),
        "h.0.mlp.c_fc.weight": (4, 16),
        "h.0.mlp.c_fc.bias": (16,),
        "h.0.mlp.c_proj.weight": (16, 4),
        "h.0.mlp.c_proj.bias": (4,),
        "ln_f.weight": (4,),
        "ln_f.bias": (4,),
    }


def test_within_takes_one_block_of_many():
    params = {"h.1.ln_1.bias": 1, "h.11.ln_1.bias": 11, "ln_f.bias": 0}
    assert within(params, "h.1.") == {"ln_1.bias": 1}


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


def test_init_draws_are_normal_numbers_in_order():
    rng = np.random.default_rng(5)
    params = init_params(TINY, seed=5, dtype="float64")
    for name, param in params.items():
        if param.ndim == 2:
            std = 0.02 / 2 if name.endswith("c_proj.weight") else 0.02
            np.testing.assert_allclose(param, std * rng.standard_normal(param.shape), rtol=1e-15)


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


def test_unused_positions_get_exactly_no_gradient():
    params, batch = random_params(TINY), random_batch(TINY, B=2, T=4)
    dwpe = gradient_of(TINY, params, *batch)["wpe.weight"]
    assert dwpe[:4].all()
    assert not dwpe[4:].any()


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


def test_backward_uses_up_the_tape_and_gives_each_parameter_once():
    params, (tokens, targets) = random_params(TINY), random_batch(TINY, B=2, T=3)
    table = reference_table()
    logits, tape = forward(TINY, table, params, tokens)
    _, tail = table.cross_entropy_forward(logits, targets)
    given = list(backward(TINY, table, table.cross_entropy_backward(1.0, tail), tape))
    assert tape == []
    assert sorted(name for name, _ in given) == sorted(params)
    assert {name: grad.shape for name, grad in given} == param_shapes(TINY)
    assert given[-1][0] == "wte.weight", "the tied table is complete only after the embedding's share"


def test_one_batch_can_be_learned_by_heart():
    config = GPTConfig(n_layer=1, n_head=2, n_embd=16, n_ctx=8, n_vocab=13)
    tokens, targets = np.random.default_rng(0).integers(0, 13, (2, 2, 8))
    optimizer = OptimizerConfig(lr=1e-2, weight_decay=0.0)
    state = new_state(init_params(config, dtype="float64"))
    for _ in range(150):
        state, report = train_step(config, optimizer, reference_table(), Alone(), state, [(tokens, targets)])
    assert report.loss < 0.01
