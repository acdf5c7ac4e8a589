"""What comes in from outside is checked here, once, before any mathematics sees it."""

from collections.abc import Mapping

import numpy as np

from minigpt.arrays import DTYPES, Flat, shape_of
from minigpt.config import GPTConfig
from minigpt.errors import CheckpointError, ConfigError, DataError
from minigpt.model import param_shapes
from minigpt.ops.cross_entropy import IGNORED


def checked_config(config):
    """config itself, if it is a GPTConfig."""
    if not isinstance(config, GPTConfig):
        raise ConfigError(f"config must be a minigpt.GPTConfig: found {type(config).__name__}")
    return config


def checked_tokens(config, tokens):
    """tokens as an integer array (B, T) with 1 <= T <= n_ctx and every id in the vocabulary."""
    tokens = integers("tokens", tokens)
    if tokens.ndim != 2 or 0 in tokens.shape:
        raise DataError(f"tokens must have shape (B, T) with B >= 1 and T >= 1: found shape {tokens.shape}")
    if tokens.shape[1] > config.n_ctx:
        raise DataError(
            f"tokens: a sequence may have up to n_ctx={config.n_ctx} tokens: found T={tokens.shape[1]}; "
            f"cut it, or use a model with a longer context"
        )
    in_range("tokens", tokens, 0, config.n_vocab)
    return tokens


def checked_targets(config, tokens, targets):
    """targets as an integer array of tokens' shape: ids in the vocabulary, or -1 where nothing is scored."""
    targets = integers("targets", targets)
    if targets.shape != tokens.shape:
        raise DataError(f"targets must have the shape of tokens, {tokens.shape}: found {targets.shape}")
    in_range("targets", targets, IGNORED, config.n_vocab)
    if (targets == IGNORED).all():
        raise DataError("targets: all are -1 (ignored), so there is no loss: score at least one position")
    return targets


def checked_prompt(config, prompt_ids):
    """prompt_ids as a list of int, each in the vocabulary; it may be empty, and longer than n_ctx."""
    if isinstance(prompt_ids, (list, tuple)) and not prompt_ids:
        return []
    ids = integers("prompt_ids", prompt_ids)
    if ids.ndim != 1:
        raise DataError(f"prompt_ids must be one row of ids: found shape {ids.shape}")
    in_range("prompt_ids", ids, 0, config.n_vocab)
    return ids.tolist()


def checked_stop(config, stop):
    """stop as a set of ids: None, one id, or several."""
    if stop is None:
        return frozenset()
    if isinstance(stop, (list, tuple, set, frozenset)) and not stop:
        return frozenset()
    ids = integers("stop", list(stop) if isinstance(stop, (set, frozenset)) else stop).reshape(-1)
    in_range("stop", ids, 0, config.n_vocab)
    return frozenset(ids.tolist())


def checked_batches(config, batches):
    """A step's (tokens, targets) pairs, at least one, each checked."""
    checked = []
    for place, pair in enumerate(batches if hasattr(batches, "__iter__") else ()):
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise DataError(f"batches[{place}] must be a pair (tokens, targets): found {type(pair).__name__}")
        tokens = checked_tokens(config, pair[0])
        checked.append((tokens, checked_targets(config, tokens, pair[1])))
    if not checked:
        raise DataError("batches must be one or more pairs (tokens, targets): found none")
    return checked


def integers(name, values):
    """values as an array, if its numbers are whole by type."""
    try:
        # subclasses, np.matrix for one, have arithmetic of their own; a device's arrays stay where they are
        foreign = hasattr(values, "dtype") and not isinstance(values, np.ndarray)
        array = values if foreign else np.asarray(values)
    except ValueError as reason:
        raise DataError(f"{name} must be a rectangular array of integers: {reason}") from None
    if array.dtype.kind not in "iu":
        raise DataError(f"{name} must be integers: found dtype {array.dtype}")
    return array


def in_range(name, ids, low, high):
    """Refuse ids outside [low, high), and say which stands where."""
    outside = (ids < low) | (ids >= high)
    if outside.any():
        place = tuple(int(i) for i in np.argwhere(outside)[0])
        raise DataError(f"{name}{list(place)} is {ids[place]}: ids must be from {low} to {high - 1}")


def checked_params(config, params, dtypes=DTYPES):
    """params, if it holds exactly the model's names and shapes, finite or not, in one of dtypes."""
    expected = param_shapes(checked_config(config))
    if not isinstance(params, Mapping):
        raise CheckpointError(f"params must map names to arrays: found {type(params).__name__}")
    if missing := [name for name in expected if name not in params]:
        raise CheckpointError(f"params: {len(missing)} of {len(expected)} missing, first {missing[0]!r}")
    if unknown := [name for name in params if name not in expected]:
        raise CheckpointError(f"params: {len(unknown)} unknown to this config, first {unknown[0]!r}")
    for name, shape in expected.items():
        if (found := shape_of(params[name])) != shape:
            raise CheckpointError(f"params[{name!r}]: expected shape {shape}, found {found}")
    dtype_of_params(params, dtypes)
    return params


def dtype_of_params(params, dtypes=DTYPES):
    """The name of the one number type that all params have, by default "float32" or "float64"."""
    found = {str(getattr(param, "dtype", type(param).__name__)) for param in params.values()}
    if len(found) != 1 or not found <= set(dtypes):
        raise CheckpointError(
            f"params must all be {' or all '.join(dtypes)}: found {', '.join(sorted(found))}; "
            f"convert with array.astype"
        )
    return found.pop()


def compute_dtype(dtype, params):
    """The number type of activations: that of params, or over float32 bfloat16 if asked for."""
    found = dtype_of_params(params)
    if dtype not in (None, found) and (dtype, found) != ("bfloat16", "float32"):
        raise ConfigError(f"dtype must be {found}, as params are, or bfloat16 over float32: found {dtype!r}")
    return dtype or found


def flat_copy(config, params):
    """params as a Flat of their own, in the model's order, so that a trainer may change them."""
    checked_params(config, params)
    return Flat.pack({name: params[name] for name in param_shapes(config)}, dtype_of_params(params))
