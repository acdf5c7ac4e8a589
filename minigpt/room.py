"""Whether what is asked for can fit into this machine's memory, said before any of it is taken.

Counted is the least that is needed, by what forward keeps and what is always there: what is refused here
cannot work. B batch, T time, C channels, H heads, V vocabulary, L layers, P parameters.
"""

import math

from minigpt.errors import ConfigError
from minigpt.free_memory import available_bytes
from minigpt.model import param_shapes

KEPT = 10  # numbers a channel that the kernels' forward keeps of a block: n, qkv (3), mixed, n, wide (4)
KEPT_BY_REFERENCE = 20  # x, n, qkv (3), mixed, x, n, wide (4), its tanh (4), active (4)
PASSING = 6  # and that are there at once, at least, where nothing is kept: x, qkv (3), mixed, x


def params_bytes(config, size):
    """The bytes of P numbers."""
    C = config.n_embd
    one_block = {name: shape for name, shape in param_shapes(single(config)).items() if name.startswith("h.")}
    block = sum(map(math.prod, one_block.values()))
    return size * ((config.n_vocab + config.n_ctx + 2) * C + config.n_layer * block)


def single(config):
    """The same model with one layer: its shapes are known at once, however many layers there are."""
    return type(config)(1, config.n_head, config.n_embd, config.n_ctx, config.n_vocab)


def step_bytes(config, batch_size, context, size, reference):
    """The least that a training step holds at its peak, part -> bytes."""
    rows = batch_size * context
    kept = KEPT * rows * config.n_embd
    if reference:
        kept = KEPT_BY_REFERENCE * rows * config.n_embd + batch_size * config.n_head * context**2
    return {
        "weights, gradients and moments": 4 * params_bytes(config, size),
        "activations": size * config.n_layer * kept,
        "logits": size * rows * config.n_vocab,
    }


def save_bytes(config, size, step):
    """What the copy at a save needs beyond what a step, which has gone by then, held: 0 if that is more."""
    passing = step["activations"] + step["logits"]
    return max(0, 3 * params_bytes(config, size) - passing)


def check_params(config, size):
    """A ConfigError if a model's parameters alone do not fit."""
    check(f"a model of {params_bytes(config, 1):,} parameters", params_bytes(config, size), "", SMALLER)


def check_step(config, batch_size, context, size, reference):
    """A ConfigError if a training step, or the copy that a save takes after it, cannot fit."""
    parts = step_bytes(config, batch_size, context, size, reference)
    parts["the copy at a save"] = save_bytes(config, size, parts)
    available, needed = available_bytes(), sum(parts.values())
    if needed <= available:
        return
    always = parts["weights, gradients and moments"]
    fits = int(max(0, available - always) // ((needed - always) / batch_size))
    advice = f"a batch-size of at most {fits}" if fits else SHORTER if always < available else SMALLER
    if parts["the copy at a save"]:
        advice = SMALLER
    shares = ": " + ", ".join(f"{name} {gigabytes(n)}" for name, n in parts.items() if n)
    check(f"a step of {batch_size} x {context} tokens", needed, shares, advice, available)


def check_forward(config, batch_size, context, size):
    """A ConfigError if a forward pass of which nothing is kept cannot fit."""
    needed = PASSING * size * batch_size * context * config.n_embd
    check(f"a batch of {batch_size} x {context} tokens", needed, "", "a smaller batch-size")


SHORTER = "a shorter context, or a smaller model"
SMALLER = "a smaller model: n-layer, n-embd, n-vocab, context"


def check(what, needed, shares, advice, available=None):
    """A ConfigError of one line if more is needed than there is."""
    available = available_bytes() if available is None else available
    if needed > available:
        raise ConfigError(
            f"{what} needs {gigabytes(needed)} of memory at least{shares}; "
            f"available are {gigabytes(available)}; use {advice}"
        )


def gigabytes(n):
    """For people."""
    return f"{n / 1e9:,.2f} GB"
