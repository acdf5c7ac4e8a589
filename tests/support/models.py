"""Small models and batches to prove things on, and the loss as a function of one flat parameter buffer."""

import numpy as np

from minigpt.arrays import Flat
from minigpt.config import GPTConfig
from minigpt.model import backward, forward, param_shapes
from tests.support.complex_step import STEP, magnitudes
from tests.support.tables import reference_table

# B, T, C, H, V, N all differ; n_ctx > T leaves position rows unused; 1,864 parameters
TINY = GPTConfig(n_layer=2, n_head=2, n_embd=8, n_ctx=6, n_vocab=7)


def random_params(config, seed=0, dtype="float64"):
    """Parameters that are all at work: init's are so small that attention is nearly uniform."""
    params = Flat.zeros(param_shapes(config), dtype)
    params.buffer[:] = np.random.default_rng(seed).normal(0, 0.5, params.buffer.size)
    return params


def random_batch(config, B, T, seed=0):
    """Tokens and targets (B, T), one target ignored where there are several."""
    tokens, targets = np.random.default_rng(seed).integers(0, config.n_vocab, (2, B, T))
    if targets.size > 1:
        targets[-1, -1] = -1
    return tokens, targets


def loss_of(config, buffer, tokens, targets, table=None):
    """The loss of the model whose parameters lie in buffer, which may be complex."""
    ops = table or reference_table()
    logits, _ = forward(config, ops, Flat(param_shapes(config), buffer), tokens)
    return ops.cross_entropy_forward(logits, targets)[0]


def gradient_of(config, params, tokens, targets, table=None):
    """name -> gradient of the loss, from the model's own backward pass."""
    ops = table or reference_table()
    logits, tape = forward(config, ops, params, tokens)
    _, tail = ops.cross_entropy_forward(logits, targets)
    return dict(backward(config, ops, ops.cross_entropy_backward(1.0, tail), tape))


def terms_of_gradient(config, params, tokens, targets):
    """name -> the sum of the |terms| that the backward pass adds up to get that gradient."""
    ops = reference_table()
    logits, tape = forward(config, ops, params, tokens)
    _, tail = ops.cross_entropy_forward(logits, targets)
    dlogits = ops.cross_entropy_backward(magnitudes(1.0), magnitudes(tail))
    return dict(backward(config, ops, dlogits, list(magnitudes(tuple(tape)))))


def slope_of_each(config, params, tokens, targets):
    """The loss's derivative by every single parameter, one forward pass each, as a Flat."""
    buffer, slopes = params.buffer.astype(complex), np.empty_like(params.buffer)
    for place, value in enumerate(params.buffer):
        buffer[place] = value + 1j * STEP
        slopes[place] = loss_of(config, buffer, tokens, targets).imag / STEP
        buffer[place] = value
    return params.like(slopes)
