"""Reading text through the model, where there is no way back: nothing is kept but what comes out."""

from minigpt.model import within


def last_states(config, ops, params, tokens):
    """What model.forward hands to the head, made without a tape.

    tokens (B, T) -> x (B, T, C)
    """
    tokens, _ = ops.upload((tokens, tokens))
    x = ops.embedding_forward(tokens, params["wte.weight"], params["wpe.weight"])[0]  # (B, T, C)
    for layer in range(config.n_layer):
        block = within(params, f"h.{layer}.")
        x = ops.block_read(ops, block, x, config.n_head, ops.attention_forward)  # (B, T, C)
    return ops.layernorm_forward(x, params["ln_f.weight"], params["ln_f.bias"])[0]


def block_read(ops, p, x, n_head, attention):
    """The table's block, with an attention of the caller's.

    attention: a function as ops.attention_forward. A table whose block_forward does not ask its ops for
    attention, as that on cores, has a block_read of its own.

    x (B, T, C) -> x (B, T, C)
    """
    return ops.block_forward(WithAttention(ops, attention), p, x, n_head)[0]


class WithAttention:
    """An ops table with another attention_forward."""

    def __init__(self, ops, attention):
        self.attention_forward, self._ops = attention, ops

    def __getattr__(self, name):
        return getattr(self._ops, name)
