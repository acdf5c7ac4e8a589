"""reference/llmc: each gradient by nudging its tensor, and the whole against minigpt and torch.

A tensor is nudged where it comes to be, and everything after it is computed from the nudged values:
complex-step derivatives of the loss, exact to rounding, for every activation and every parameter.
"""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigpt
from reference import golden
from reference.compare import distances
from reference.llmc import ACTIVATIONS, PARAMETERS, Exact, Inputs, Sizes, run
from reference.llmc.names import AXES, axes_of, keys
from reference.llmc.parameters import from_hub, to_hub
from tests.support.questions import inputs

STEP = 1e-100
CLAIM = 1e-12


class Nudged(Exact):
    """Exact, but one tensor, or parameter, is moved along a direction by an imaginary step."""

    def __init__(self, key, along):
        self.key, self.along = key, along

    def keep(self, key, tensor):
        return tensor + 1j * STEP * self.along if key == self.key else tensor

    load = keep


def nudge_error(given_, tensors, key, rng):
    """How far a tensor's gradient is from the slope of the loss along a random direction."""
    value = given_.params[key] if key in given_.params else tensors[key]
    gradient, draw = tensors[f"d{key[0]}", key[1]], rng.normal(size=np.shape(value))
    v = np.where(gradient == 0, draw, np.abs(draw) * np.sign(gradient))  # uphill, so that no error cancels
    slope = run(given_, Nudged(key, v), backward=False)["loss", None].imag / STEP
    expected = (v * gradient).sum()
    return abs(slope - expected) / expected if expected else abs(slope)


# 4 channels at least: layernorm leaves so little of 2 that a share of a gradient says nothing
sizes_of_any_model = st.builds(
    Sizes,
    L=st.integers(1, 3), H=st.integers(1, 3), D=st.integers(2, 4), V=st.integers(2, 9), N=st.integers(5, 7),
    B=st.integers(1, 3), T=st.integers(1, 5),
).filter(lambda sizes: sizes.C >= 4)  # fmt: skip


@settings(max_examples=15)
@given(sizes=sizes_of_any_model, seed=st.integers(0, 2**32 - 1), ignored=st.booleans())
def test_every_gradient_is_what_nudging_its_tensor_does_to_the_loss(sizes, seed, ignored):
    question = inputs(sizes, seed, ignored)
    tensors, rng = run(question), np.random.default_rng(seed)
    for name in (*ACTIVATIONS, *PARAMETERS):
        for key in keys(name, sizes):
            assert nudge_error(question, tensors, key, rng) <= CLAIM, key


def test_a_gradient_that_is_a_little_off_is_noticed():
    question = inputs(Sizes(L=2, H=2, D=3, V=7, N=6, B=2, T=5))
    tensors = run(question)
    for name in (*ACTIVATIONS, *PARAMETERS):
        for key in keys(name, question.sizes):
            off = tensors | {(f"d{key[0]}", key[1]): tensors[f"d{key[0]}", key[1]] * (1 + 1e-11)}
            rng = np.random.default_rng(0)
            assert nudge_error(question, off, key, rng) > CLAIM, key


def test_every_tensor_is_there_in_its_shape_and_once():
    sizes = Sizes(L=3, H=2, D=3, V=11, N=9, B=2, T=5)
    question = inputs(sizes)
    tensors = run(question)
    expected = {key: sizes.shape(axes_of(name)) for name in AXES for key in keys(name, sizes)}
    for key in question.params:
        assert question.params[key].shape == expected.pop(key)
    assert {key: np.shape(tensor) for key, tensor in tensors.items()} == expected


def test_what_is_not_seen_is_exactly_nothing():
    sizes = Sizes(L=2, H=2, D=3, V=11, N=9, B=2, T=5)
    tensors = run(inputs(sizes))
    future = ~np.tri(sizes.T, dtype=bool)
    for name in ("preatt", "att", "datt", "dpreatt"):
        assert (tensors[name, 1][..., future] == 0).all()
    assert (tensors["dwpe", None][sizes.T :] == 0).all()


def config_of(sizes):
    words = {"n_layer": sizes.L, "n_head": sizes.H, "n_embd": sizes.C, "n_ctx": sizes.N, "n_vocab": sizes.V}
    return minigpt.GPTConfig(**words)


@settings(max_examples=25)
@given(sizes=sizes_of_any_model, seed=st.integers(0, 2**32 - 1))
def test_logits_loss_and_parameter_gradients_are_minigpts(sizes, seed):
    question = inputs(sizes, seed, ignored=True)
    tensors, config, params = run(question), config_of(sizes), to_hub(question.params)
    loss, grads = minigpt.loss_and_grads(config, params, question.tokens, question.targets)
    logits = minigpt.logits(config, params, question.tokens)
    ours = to_hub({key: tensors[f"d{key[0]}", key[1]] for key in question.params})
    apart = distances(ours | {"loss": tensors["loss", None], "logits": tensors["logits", None]},
                      grads | {"loss": loss, "logits": logits})  # fmt: skip
    assert max(apart.values()) <= CLAIM


def test_parameter_gradients_are_torchs_on_golden_values():
    for case in golden.CASES:
        want = golden.read(case)
        shape = SimpleNamespace(**golden.CASES[case])
        sizes = Sizes(L=shape.n_layer, H=shape.n_head, D=shape.n_embd // shape.n_head, V=shape.n_vocab,
                      N=shape.n_ctx, B=shape.B, T=shape.T)  # fmt: skip
        params = from_hub(golden.weights(shape, case), sizes.L)
        tensors = run(Inputs(sizes, params, want["tokens"], want["targets"]))
        ours = to_hub({key: tensors[f"d{key[0]}", key[1]] for key in params})
        assert max(distances(ours, want["grads"]).values()) <= CLAIM
        assert abs(tensors["loss", None] - want["loss"]) <= CLAIM


def test_every_tensor_is_what_torchs_autograd_says():
    pytest.importorskip("torch", reason="torch is not installed; its golden values stand above")
    from tests.support import torch_llmc

    for ignored in (False, True):
        question = inputs(Sizes(L=3, H=2, D=4, V=13, N=9, B=2, T=7), ignored=ignored)
        ours, theirs = run(question), torch_llmc.run(question)
        assert theirs.keys() <= ours.keys()
        # what autograd has no node for: a layernorm's own statistics
        missing = {key for key in ours.keys() - theirs.keys()}
        assert all(key[0].endswith(("_mean", "_rstd")) and key[0].startswith("d") for key in missing)
        assert max(distances({key: ours[key] for key in theirs}, theirs).values()) <= CLAIM
