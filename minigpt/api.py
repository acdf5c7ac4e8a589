"""The functions that other programs call: checks at the door, the right kernels, then the model."""

from minigpt import kernels, model, room
from minigpt.arrays import Flat, device_of, dtype_of
from minigpt.config import GPTConfig, whole_between
from minigpt.door import checked_config, checked_params, checked_targets, checked_tokens, dtype_of_params
from minigpt.kinds import Array, Ops, Params
from minigpt.model import backward, forward
from minigpt.reading import last_states


def init_params(config: GPTConfig, seed: int = 0, dtype: str = "float32") -> Flat:
    """Random parameters of a model: see model.init_params. Raises ConfigError, also where they cannot fit."""
    room.check_params(checked_config(config), dtype_of(dtype).itemsize)
    return model.init_params(config, whole_between("seed", seed, 0, 2**63), dtype)


def table_for(
    config: GPTConfig, params: Params, ops: Ops = "fast", threads: int | None = None
) -> kernels.Table:
    """The operations for params: of their number type, on the device where they are."""
    dtype = dtype_of_params(checked_params(config, params))
    return kernels.table(ops, dtype, threads, device_of(next(iter(params.values()))))


def logits(config: GPTConfig, params: Params, tokens: Array, ops: Ops = "fast") -> Array:
    """The model's score for every next token.

    ops "fast" runs the kernels where the number type has some, "reference" the plain operations.
    Raises ConfigError, CheckpointError (params) and DataError (tokens).

    tokens (B, T) -> logits (B, T, V)
    """
    table = table_for(config, params, ops)
    tokens = checked_tokens(config, tokens)
    with table.session():
        weights = table.weights(params)
        x = last_states(config, table, weights, tokens)  # (B, T, C)
        return table.unembedding_forward(x, weights["wte.weight"])[0]


def loss_and_grads(
    config: GPTConfig, params: Params, tokens: Array, targets: Array, ops: Ops = "fast"
) -> tuple[float, dict[str, Array]]:
    """The mean negative log-likelihood in nats a token, and its gradient for every parameter by name.

    A target of -1 is not scored. Raises as `logits` does, and DataError for targets.
    """
    table = table_for(config, params, ops)
    tokens = checked_tokens(config, tokens)
    targets = checked_targets(config, tokens, targets)
    with table.session():
        tokens, targets = table.upload((tokens, targets))
        scores, tape = forward(config, table, table.weights(params), tokens)
        loss, cache = table.cross_entropy_forward(scores, targets)
        gradients = backward(config, table, table.cross_entropy_backward(1.0, cache), tape)
        grads = table.collect(gradients, into=Flat.empty_like(params, model.param_shapes(config)), add=False)
    return float(loss), {name: grads[name] for name in params}
