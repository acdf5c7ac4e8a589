"""Gradients that get lost where two meet: at the residual stream, at the tied table."""

import numpy as np

from reference.diff.faults.fault import Fault
from reference.llmc import ops


def nothing_past(dout):
    """The gradient goes into the branch alone."""
    return np.zeros_like(dout), dout


def residual_faults():
    past_attention, past_mlp = ("dresidual3", "dencoded"), ("dresidual2",)
    yield Fault("no-residual-mlp", "the residual gradient past the MLP is missing", past_mlp,
                {"mlp_residual_backward": nothing_past})  # fmt: skip
    yield Fault("no-residual-attention", "the residual gradient past attention is missing", past_attention,
                {"attention_residual_backward": nothing_past})  # fmt: skip
    yield Fault("no-residual", "the residual gradients past attention and MLP are missing",
                past_attention + past_mlp, {"mlp_residual_backward": nothing_past,
                                            "attention_residual_backward": nothing_past})  # fmt: skip
    yield Fault("no-branch", "the gradient through the branches does not come back to the stream",
                past_attention + past_mlp, {"join": lambda dstream, dnorm: dstream})  # fmt: skip


def encoder_without_sum(a, dencoded, tokens, wte, wpe):
    """A scatter that writes where it should add."""
    _, dwpe = ops.encoder_backward(a, dencoded, tokens, wte, wpe)
    dwte = np.zeros_like(wte)
    dwte[tokens.ravel()] = dencoded.reshape(-1, dencoded.shape[-1])
    return dwte, dwpe


def tie_faults():
    yield Fault("tied-head-only", "dwte lacks what the encoder contributes: the table is tied", ("dwte",),
                {"tie": lambda head, encoder: head})  # fmt: skip
    yield Fault("tied-encoder-only", "dwte lacks what the head contributes: the table is tied", ("dwte",),
                {"tie": lambda head, encoder: encoder})  # fmt: skip
    yield Fault("repeated-tokens", "dwte of a token that occurs twice has one gradient, not the sum",
                ("dwte",), {"encoder_backward": encoder_without_sum})  # fmt: skip
