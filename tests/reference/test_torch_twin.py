"""minigpt in float64 against torch's own operations and autograd, at weights far from any init.

1e-11 of a tensor's norm is the claim; a few planted faults show how far below any real fault that lies.
"""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, target
from hypothesis import strategies as st

from minigpt import ops
from minigpt.model import backward, forward
from reference import golden
from reference.compare import distance, distances
from tests.support.tables import reference_table

torch = pytest.importorskip("torch", reason="torch is not installed; test_golden.py has its answers")
torch_twin = pytest.importorskip("reference.torch_twin")

torch.set_num_threads(1)

CLAIM = 1e-11
TABLE = reference_table()
SMALL = SimpleNamespace(n_layer=2, n_head=2, n_embd=8, n_ctx=6, n_vocab=11, B=2, T=5)


@st.composite
def configs(draw):
    """Small models and batches, of 4 channels at least.

    Layernorm leaves almost nothing of 2 or 3 channels, so that whole gradients nearly vanish, and a share
    of their norm says nothing. test_scalar.py has those, with bounds that know it.
    """
    n_head, T = draw(st.integers(1, 3)), draw(st.integers(1, 6))
    return SimpleNamespace(
        n_layer=draw(st.integers(1, 3)),
        n_head=n_head,
        n_embd=n_head * draw(st.integers(2, 4)) if n_head > 1 else draw(st.integers(4, 9)),
        n_ctx=T + draw(st.integers(0, 2)),
        n_vocab=draw(st.integers(3, 20)),
        B=draw(st.integers(1, 3)),
        T=T,
    )


def ours(config, params, tokens, targets, table=TABLE):
    """minigpt's logits, loss and gradients."""
    logits, tape = forward(config, table, params, tokens)
    loss, tail = table.cross_entropy_forward(logits, targets)
    return logits, loss, dict(backward(config, table, table.cross_entropy_backward(1.0, tail), tape))


def worst(config, seed, table=TABLE, attention="explicit"):
    """The largest distance of logits, loss and all gradients."""
    params, (tokens, targets) = golden.weights(config, seed), golden.batch(config, seed)
    logits, loss, grads = ours(config, params, tokens, targets, table)
    loss_twin, grads_twin = torch_twin.loss_and_grads(config, params, tokens, targets, attention=attention)
    logits_twin = torch_twin.logits(config, params, tokens, attention=attention)
    apart = distances(grads, grads_twin)
    return max(*apart.values(), distance(logits, logits_twin), distance(loss, loss_twin))


@pytest.mark.parametrize("attention", torch_twin.ATTENTION)
@given(config=configs(), seed=st.integers(0, 2**32 - 1))
def test_logits_loss_and_every_gradient(attention, config, seed):
    apart = worst(config, seed, attention=attention)
    target(apart)
    assert apart <= CLAIM


def test_float32_and_fused_attention_too():
    params, (tokens, targets) = golden.weights(SMALL, 0), golden.batch(SMALL, 0)
    kind = {"dtype": torch.float32, "attention": "fused"}
    loss, grads = torch_twin.loss_and_grads(SMALL, params, tokens, targets, **kind)
    assert torch_twin.logits(SMALL, params, tokens, **kind).dtype == np.float32
    _, loss_ours, grads_ours = ours(SMALL, params, tokens, targets)
    single = CLAIM * 2**29  # the claim, at float32's unit roundoff
    assert max(distance(loss, loss_ours), *distances(grads, grads_ours).values()) <= single


# What the comparison must notice -----------------------------------------------------------------------


def gelu_erf_forward(x):
    """GELU as first defined, x * Phi(x), which GPT-2's tanh form approximates to 1e-3."""
    phi = (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2
    return x * phi, phi + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def dwte_forgotten(dx, cache):
    """The tied table's gradient from the head alone."""
    dwte, dwpe = ops.embedding_backward(dx, cache)
    return 0 * dwte, dwpe


def mean_over_all(logits, targets):
    """A loss that divides by all targets, the ignored ones too."""
    loss, (probs, places, share) = ops.cross_entropy_forward(logits, targets)
    scored = np.mean(targets != -1)
    return loss * scored, (probs, places, share * scored)


def gain_off(dy, cache):
    """A gradient that is off by a part in 1e10."""
    dx, dgain, dbias = ops.layernorm_backward(dy, cache)
    return dx, dgain * (1 + 1e-10), dbias


FAULTS = {
    "erf": {"gelu_forward": gelu_erf_forward, "gelu_backward": lambda dy, slope: dy * slope},
    "untied": {"embedding_backward": dwte_forgotten},
    "mean over all": {"cross_entropy_forward": mean_over_all},
    "gain 1e-10 off": {"layernorm_backward": gain_off},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_fault_is_noticed(fault):
    assert worst(SMALL, 0) <= CLAIM
    assert worst(SMALL, 0, reference_table(**FAULTS[fault])) > 5 * CLAIM


@pytest.mark.parametrize(("constant", "wrong"), [
    ("layernorm.EPS", 1e-6), ("layernorm.EPS", 1.0001e-5), ("gelu.CUBIC", 0.044716),
    ("gelu.SLOPE", 0.7978845), ("cross_entropy.IGNORED", -2),
])  # fmt: skip
def test_wrong_constant_is_noticed(monkeypatch, constant, wrong):
    monkeypatch.setattr(f"minigpt.ops.{constant}", wrong)
    assert worst(SMALL, 0) > 5 * CLAIM
