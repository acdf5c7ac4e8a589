"""Weights that a run starts from instead of random ones: fine-tuning."""

import dataclasses

import numpy as np

from minigpt.arrays import Flat
from minigpt.errors import CheckpointError, ConfigError
from minigpt.model import param_shapes
from minigpt.weights import load_weights


def first_weights(path, config, dtype):
    """The parameters in a file or folder of weights, for a model of the shape `config`.

    Its context may be shorter than theirs: positions that no window reaches are left out.
    Raises CheckpointError (no weights there, or some that are no numbers) and ConfigError (of another shape).
    """
    found, params = load_weights(path, dtype)
    check_shape(path, found, config)
    check_finite(path, params)
    if found == config:
        return params
    shorter = Flat.zeros(param_shapes(config), dtype)
    for name, param in shorter.items():
        param[...] = params[name][: len(param)]
    return shorter


def check_shape(path, found, config):
    """A ConfigError that names every size in which a run differs from the weights it is to start from."""
    fitting = dataclasses.replace(found, n_ctx=min(found.n_ctx, config.n_ctx))
    names = [field.name for field in dataclasses.fields(config)]
    if wrong := [name for name in names if getattr(fitting, name) != getattr(config, name)]:
        there = ", ".join(f"{name}={getattr(found, name)}" for name in wrong)
        here = ", ".join(f"{name}={getattr(config, name)}" for name in wrong)
        raise ConfigError(f"init-from: {path} has {there}: found {here} here; give the weights' own sizes")


def check_finite(path, params):
    """A CheckpointError for the first tensor that holds NaN or infinity: no step could mend it."""
    for name, param in params.items():
        if strange := param.size - int(np.isfinite(param).sum()):
            raise CheckpointError(
                f"init-from: {path}: {name}: expected finite numbers, found {strange:,} of {param.size:,} "
                f"NaN or infinite; minigpt inspect {path} shows every tensor"
            )
