"""A model as files: a folder with config.json and model.safetensors, as Hugging Face's GPT-2 has."""

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from minigpt.arrays import Flat, dtype_of
from minigpt.config import GPTConfig
from minigpt.disk import as_path, flush, read_json, write_json
from minigpt.door import checked_params, dtype_of_params
from minigpt.errors import CheckpointError, ConfigError
from minigpt.model import param_shapes
from minigpt.ops.layernorm import EPS

FORMATS = ("safetensors",)
HUB_KEYS = {
    "n_layer": "n_layer",
    "n_head": "n_head",
    "n_embd": "n_embd",
    "n_ctx": "n_positions",
    "n_vocab": "vocab_size",
}


def load_weights(path, dtype=None):
    """config and params from a folder of save_weights, a checkpoint of a run among them.

    dtype: None keeps the file's precision. Raises CheckpointError, also where there is nothing.
    """
    path = as_path(path)
    words = read_json(path / "config.json")
    try:
        config = GPTConfig(**{field: words[key] for field, key in HUB_KEYS.items()})
    except (KeyError, ConfigError) as reason:
        raise CheckpointError(f"{path / 'config.json'}: not a GPT-2 configuration: {reason}") from None
    params = checked_params(config, read_tensors(path / "model.safetensors"))
    params = {name: params[name] for name in param_shapes(config)}
    return config, Flat.pack(params, dtype_of(dtype or dtype_of_params(params)))


def save_weights(path, config, params, format="safetensors"):
    """Write params as a folder for load_weights, with the names and words of the Hugging Face hub's GPT-2.

    Raises ConfigError (format) and CheckpointError (params).
    """
    if format not in FORMATS:
        raise ConfigError(f"format must be one of {', '.join(FORMATS)}: found {format!r}")
    params = checked_params(config, params)
    path = as_path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        write_json(path / "config.json", hub_config(config))
        write_tensors(path / "model.safetensors", params, {"format": "pt"})  # transformers asks for this word
        flush(path)
    except (OSError, ValueError, SafetensorError) as reason:
        raise CheckpointError(f"{path}: cannot be written: {reason}") from None


def hub_config(config):
    """config.json as transformers' GPT2Config has it."""
    last = config.n_vocab - 1  # <|endoftext|>
    words = {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "activation_function": "gelu_new",
        "layer_norm_epsilon": EPS,
        "tie_word_embeddings": True,
        "bos_token_id": last,
        "eos_token_id": last,
    }
    return words | {key: getattr(config, field) for field, key in HUB_KEYS.items()}


def read_tensors(path):
    """All arrays of a safetensors file by name, or a CheckpointError."""
    try:
        return load_file(path)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file") from None
    except (OSError, SafetensorError) as reason:
        raise CheckpointError(f"{path}: not a whole safetensors file: {reason}") from None


def write_tensors(path, arrays, metadata=None):
    """A safetensors file of named arrays, flushed to a temporary name and renamed."""
    temporary = path.with_name(f".{path.name}.tmp")
    # safetensors writes an array's memory as it lies there, so views must be laid out first
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, temporary, metadata)
    temporary.chmod(0o644)  # safetensors writes 0o600; weights are there to be shared
    flush(temporary)
    temporary.replace(path)
