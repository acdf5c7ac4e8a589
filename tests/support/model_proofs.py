"""What is claimed of minigpt.model. tests/test_model applies it to it, tests/mutants to broken copies."""

import functools

import numpy as np
import pytest

from minigpt.config import GPTConfig
from minigpt.errors import ConfigError
from tests.support import equations
from tests.support.models import TINY, direction_error, gradient_of, random_batch, random_params
from tests.support.proofs import VALUE
from tests.support.tables import table_of

# two layers of two heads; and the least that a GPT can be
MODELS = (TINY, GPTConfig(n_layer=1, n_head=1, n_embd=1, n_ctx=1, n_vocab=3))

SHAPES = {
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


def check_names_and_shapes(model):
    """The parameters are GPT-2's, in the order of the forward pass; a second layer is like the first."""
    one, two = (GPTConfig(n_layer=layers, n_head=2, n_embd=4, n_ctx=5, n_vocab=7) for layers in (1, 2))
    assert list(model.param_shapes(one).items()) == list(SHAPES.items())
    second = {name.replace("h.0.", "h.1."): shape for name, shape in SHAPES.items()}
    assert model.param_shapes(two) == SHAPES | second


def check_init(model):
    """Matrices are standard normal draws, in order, times 0.02, or 0.02 / sqrt(2 L) on the way back to x."""
    rng = np.random.default_rng(5)
    for name, param in model.init_params(TINY, seed=5, dtype="float64").items():
        if param.ndim == 2:
            std = 0.02 / 2 if name.endswith("c_proj.weight") else 0.02  # L = 2
            np.testing.assert_allclose(param, std * rng.standard_normal(param.shape), rtol=1e-15)
        else:
            assert (param == ("ln_" in name and name.endswith("weight"))).all(), name


def check_number_types(model):
    """float32 unless told otherwise, from seed 0; a type that minigpt has no arithmetic for is refused."""
    default, told = model.init_params(TINY), model.init_params(TINY, seed=0, dtype="float32")
    assert default.buffer.dtype == np.float32
    assert default.buffer.tobytes() == told.buffer.tobytes()
    with pytest.raises(ConfigError, match="float16"):
        model.init_params(TINY, dtype="float16")


def check_logits(model):
    """The forward pass is the published model, written out block by block."""
    for config in MODELS:
        tokens, _ = random_batch(config, B=2, T=min(4, config.n_ctx))
        logits, _ = model.forward(config, table_of(model), random_params(config), tokens)
        expected = expected_logits(config)
        assert np.abs(logits - expected).max() <= VALUE * np.abs(expected).max()


@functools.cache
def expected_logits(config):
    """The logits by the equations."""
    tokens, _ = random_batch(config, B=2, T=min(4, config.n_ctx))
    return equations.gpt2(config, random_params(config), tokens)


def check_gradient(model):
    """The backward pass is the forward pass's derivative."""
    for config in MODELS:
        batch = random_batch(config, B=3, T=min(5, config.n_ctx))
        assert direction_error(config, random_params(config), *batch, model) <= 1e-13


def check_each_gradient_once(model):
    """backward uses up the tape and gives every gradient once, in the parameter's shape, wte's last."""
    params, (tokens, targets) = random_params(TINY), random_batch(TINY, B=2, T=3)
    table = table_of(model)
    logits, tape = model.forward(TINY, table, params, tokens)
    _, tail = table.cross_entropy_forward(logits, targets)
    given = list(model.backward(TINY, table, table.cross_entropy_backward(1.0, tail), tape))
    assert tape == []
    assert [name for name, _ in given][-1] == "wte.weight"
    assert sorted(name for name, _ in given) == sorted(params)
    assert {name: grad.shape for name, grad in given} == dict(params.shapes)


def check_unused_positions(model):
    """Positions after the last token get exactly no gradient."""
    dwpe = gradient_of(TINY, random_params(TINY), *random_batch(TINY, B=2, T=4), model)["wpe.weight"]
    assert dwpe[:4].all()
    assert not dwpe[4:].any()


def check_within(model):
    """One block's parameters are picked out, and no other's whose name begins alike."""
    params = {"h.1.ln_1.bias": 1, "h.11.ln_1.bias": 11, "ln_f.bias": 0}
    assert model.within(params, "h.1.") == {"ln_1.bias": 1}


CHECKS = (
    check_names_and_shapes,
    check_init,
    check_number_types,
    check_logits,
    check_gradient,
    check_each_gradient_once,
    check_unused_positions,
    check_within,
)
