"""Small models and batches to prove things on, and the loss as a function of one flat parameter buffer."""

import numpy as np

from minigpt import model
from minigpt.arrays import Flat, collect
from minigpt.config import GPTConfig
from tests.support.complex_step import STEP, derivative, relative
from tests.support.tables import table_of

# B, T, C, H, V, N all differ; n_ctx > T leaves position rows unused; 1,864 parameters
TINY = GPTConfig(n_layer=2, n_head=2, n_embd=8, n_ctx=6, n_vocab=7)
# how a step that is kept for replay was computed
HOW = {
    "ops": "fast", "device": "numpy", "dtype": "float32", "tf32": False,
    "products": "cublas", "attention": "tiles",
}  # fmt: skip


def random_params(config, seed=0, dtype="float64"):
    """Parameters that are all at work: init's are so small that attention is nearly uniform."""
    params = Flat.zeros(model.param_shapes(config), dtype)
    params.buffer[:] = np.random.default_rng(seed).normal(0, 0.5, params.buffer.size)
    return params


def random_batch(config, B, T, seed=0):
    """Tokens and targets (B, T), one target ignored where there are several."""
    tokens, targets = np.random.default_rng(seed).integers(0, config.n_vocab, (2, B, T))
    if targets.size > 1:
        targets[-1, -1] = -1
    return tokens, targets


def loss_of(config, buffer, tokens, targets, model=model):
    """The loss of the model whose parameters lie in buffer, which may be complex."""
    params, table = Flat(model.param_shapes(config), buffer), table_of(model)
    logits, _ = model.forward(config, table, params, tokens)
    return table.cross_entropy_forward(logits, targets)[0]


def gradient_of(config, params, tokens, targets, model=model):
    """name -> gradient of the loss, from the model's own backward pass."""
    table = table_of(model)
    logits, tape = model.forward(config, table, params, tokens)
    _, tail = table.cross_entropy_forward(logits, targets)
    return dict(model.backward(config, table, table.cross_entropy_backward(1.0, tail), tape))


def direction_error(config, params, tokens, targets, model=model, seed=0):
    """How wrong the gradient is along a random direction v, in units of the sum of |v_i * g_i|."""
    v = np.random.default_rng(seed).normal(size=params.buffer.size)
    slope = derivative(lambda buffer: loss_of(config, buffer, tokens, targets, model), params.buffer, v)
    gradient = flat(params, gradient_of(config, params, tokens, targets, model))
    return relative(abs(v @ gradient - slope), np.abs(v) @ np.abs(gradient))


def flat(params, grads):
    """Gradients as one vector in the layout of params."""
    return collect(grads.items(), into=params.like(np.empty_like(params.buffer)), add=False).buffer


def slope_of_each(config, params, tokens, targets):
    """The loss's derivative by every single parameter, one forward pass each, as a Flat."""
    buffer, slopes = params.buffer.astype(complex), np.empty_like(params.buffer)
    for place, value in enumerate(params.buffer):
        buffer[place] = value + 1j * STEP
        slopes[place] = loss_of(config, buffer, tokens, targets).imag / STEP
        buffer[place] = value
    return params.like(slopes)
