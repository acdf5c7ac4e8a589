"""llm.c's *_debug_state.bin: a batch, and what PyTorch says of it (karpathy/llm.c, train_gpt2.py).

256 int32 (magic, version, B, T); x, y int32 (B, T); logits float32 (B, T, V); the loss; the gradients of 16
tensors, stacked over layers, matrices (out, in), wte's with rows of zeros up to a multiple of 128.
"""

import os
from typing import NamedTuple

import numpy as np

from minigpt.errors import CheckpointError

MAGIC, VERSION, HEADER = 20240327, 2, 1024
ROUND_UP = 128

# llm.c's order; the hub's name within a block (h.N.) or of the model; whether it is stored (out, in)
TENSORS = (
    ("wte.weight", False), ("wpe.weight", False),
    ("h.ln_1.weight", False), ("h.ln_1.bias", False),
    ("h.attn.c_attn.weight", True), ("h.attn.c_attn.bias", False),
    ("h.attn.c_proj.weight", True), ("h.attn.c_proj.bias", False),
    ("h.ln_2.weight", False), ("h.ln_2.bias", False),
    ("h.mlp.c_fc.weight", True), ("h.mlp.c_fc.bias", False),
    ("h.mlp.c_proj.weight", True), ("h.mlp.c_proj.bias", False),
    ("ln_f.weight", False), ("ln_f.bias", False),
)  # fmt: skip


class DebugState(NamedTuple):
    """What the file says."""

    tokens: np.ndarray
    targets: np.ndarray
    logits: np.ndarray
    loss: float
    grads: dict


def read(path, config, shapes):
    """The state in a file, for a model of this config with parameters of these shapes."""
    size = os.stat(path).st_size
    content = np.memmap(path, np.uint8, "r") if size >= HEADER else np.zeros(16, np.uint8)
    magic, version, B, T = (int(word) for word in content[:16].view("<i4"))
    if (magic, version) != (MAGIC, VERSION):
        raise CheckpointError(
            f"{path}: expected a debug state of llm.c (magic {MAGIC}, version {VERSION}), "
            f"found magic {magic}, version {version} in {size:,} bytes"
        )
    V, padding = config.n_vocab, -config.n_vocab % ROUND_UP * config.n_embd
    numbers = sum(int(np.prod(shape)) for shape in shapes.values()) + padding
    expected = HEADER + 4 * (2 * B * T + B * T * V + 1 + numbers)
    if min(B, T) < 1 or expected != len(content):
        raise CheckpointError(
            f"{path}: for B={B}, T={T} and this model expected {expected:,} bytes, found {len(content):,}; "
            f"is it of a model of another size, or cut off?"
        )
    x, y, logits, loss, grads = np.split(
        content[HEADER:].view("<f4"), np.cumsum([B * T, B * T, B * T * V, 1])
    )
    tokens, targets = (part.view("<i4").reshape(B, T).astype(int) for part in (x, y))
    for what, ids, least in (("an input", tokens, 0), ("a target", targets, -1)):
        if (wrong := ids[(ids < least) | (ids >= V)]).size:
            raise CheckpointError(f"{path}: expected {what} from {least} to {V - 1}, found {wrong[0]}")
    return DebugState(
        tokens, targets, logits.reshape(B, T, V), float(loss[0]), named(path, config, shapes, grads)
    )


def named(path, config, shapes, numbers):
    """The gradients by the hub's names, in its orientation, without padding."""
    rows = -(-config.n_vocab // ROUND_UP) * ROUND_UP
    grads, start = {}, 0
    for name, turned in TENSORS:
        layers = range(config.n_layer) if name.startswith("h.") else [None]
        for layer in layers:
            key = name if layer is None else name.replace("h.", f"h.{layer}.", 1)
            shape = (rows, config.n_embd) if name == "wte.weight" else shapes[key]
            stored = shape[::-1] if turned else shape
            tensor = numbers[start : start + int(np.prod(shape))].reshape(stored)
            grads[key], start = tensor.T if turned else tensor, start + tensor.size
    padded = grads["wte.weight"]
    if padded[config.n_vocab :].any():
        raise CheckpointError(
            f"{path}: expected zeros in the wte gradient's rows from {config.n_vocab} on, which no token has"
        )
    return grads | {"wte.weight": padded[: config.n_vocab]}
