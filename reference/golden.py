"""Golden values: what torch, in float64, says of two small models, kept for machines without torch.

    python -m reference.golden      writes tests/golden/*.json

A file holds a model's shape, its tokens and targets (-1 among them), its logits, loss and every gradient,
and 50 steps of AdamW: each loss, and a fingerprint of every parameter at the end. Numbers are in float.hex
form, exact to the bit. The weights are not in it: they follow from the rule below, which needs nothing but
Python's random, whose random() is promised to yield the same numbers in every version. They lie far from
any initialisation, so that no term is too small to be missed.
"""

import json
import math
import random
from pathlib import Path
from types import SimpleNamespace

import numpy as np

FOLDER = Path(__file__).parent.parent / "tests" / "golden"

CASES = {
    "two-layers": {"n_layer": 2, "n_head": 4, "n_embd": 12, "n_ctx": 8, "n_vocab": 17, "B": 2, "T": 8},
    "three-narrow": {"n_layer": 3, "n_head": 1, "n_embd": 5, "n_ctx": 7, "n_vocab": 3, "B": 3, "T": 4},
}

STEPS, WARMUP, LR, FINAL = 50, 5, 3e-3, 0.1
ADAMW = {"betas": (0.9, 0.95), "eps": 1e-4, "weight_decay": 0.1, "clip": 1.0}  # eps: large enough to matter

# The rule: weights and batches from a case's name ------------------------------------------------------


def weights(config, seed):
    """Matrices and biases even on +-0.52, whose standard deviation is 0.3; gains the same around 1."""
    draw = random.Random(seed).random
    params = {}
    for name, shape in shapes(config).items():
        gain = 1 if "ln_" in name and name.endswith("weight") else 0
        values = [gain + 1.04 * (draw() - 0.5) for _ in range(math.prod(shape))]
        params[name] = np.array(values).reshape(shape)
    return params


def shapes(config):
    """Every parameter's shape, in the order in which weights are drawn."""
    C, F = config.n_embd, 4 * config.n_embd
    block = {"ln_1": (C,), "attn.c_attn": (C, 3 * C), "attn.c_proj": (C, C),
             "ln_2": (C,), "mlp.c_fc": (C, F), "mlp.c_proj": (F, C)}  # fmt: skip
    modules = {f"h.{layer}.{name}": shape for layer in range(config.n_layer) for name, shape in block.items()}
    sizes = {"wte.weight": (config.n_vocab, C), "wpe.weight": (config.n_ctx, C)}
    for name, shape in {**modules, "ln_f": (C,)}.items():
        sizes |= {f"{name}.weight": shape, f"{name}.bias": shape[-1:]}
    return sizes


def batch(config, seed):
    """Random tokens and targets (B, T); about one target in four is -1, the very first never."""
    draw = random.Random(seed).random

    def table(whole):
        return np.array([[whole() for _ in range(config.T)] for _ in range(config.B)])

    tokens, targets = (table(lambda: int(config.n_vocab * draw())) for _ in range(2))
    ignored = table(lambda: draw() < 0.25)
    ignored[0, 0] = False
    return tokens, np.where(ignored, -1, targets)


def rates():
    """The learning rate of each of the 50 steps: a climb, then half a cosine wave down to a tenth."""
    for step in range(STEPS):
        if step < WARMUP:
            yield LR * (step + 1) / WARMUP
        else:
            height = (1 + math.cos(math.pi * (step - WARMUP) / (STEPS - WARMUP))) / 2
            yield LR * (FINAL + (1 - FINAL) * height)


def fingerprint(param):
    """Three numbers for a tensor: its norm, sum of p_i * cos(i), sum of p_i * sin(i).

    An entry that changes, or moves, changes the sums; the norm tells what change is large.
    """
    place = np.arange(param.size)
    return np.array([np.linalg.norm(param), param.ravel() @ np.cos(place), param.ravel() @ np.sin(place)])


# Making, writing, reading ------------------------------------------------------------------------------


def make(case):
    """Ask torch everything about one case."""
    from reference import torch_twin  # here, so that reading golden values does not need torch

    config = SimpleNamespace(**CASES[case])
    params = weights(config, case)
    tokens, targets = batch(config, case)
    loss, grads = torch_twin.loss_and_grads(config, params, tokens, targets)
    batches = [batch(config, f"{case} {step}") for step in range(STEPS)]
    losses, trained = torch_twin.train(config, params, batches, list(rates()), **ADAMW)
    return {
        "config": CASES[case],
        "weights": {name: fingerprint(param) for name, param in params.items()},
        "tokens": tokens,
        "targets": targets,
        "logits": torch_twin.logits(config, params, tokens),
        "loss": loss,
        "grads": grads,
        "losses": losses,
        "trained": {name: fingerprint(param) for name, param in trained.items()},
    }


def write(case):
    """Make a case and write it to its file."""
    golden = {name: encode(value) for name, value in make(case).items()}
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"{case}.json").write_text(json.dumps(golden, indent=1) + "\n")


def read(case):
    """A case as make returns it, from its file."""
    return {name: decode(value) for name, value in json.loads((FOLDER / f"{case}.json").read_text()).items()}


def encode(value):
    """For JSON: an array as one string, its shape and its numbers: "2x1: 12 -1" or "2: 0x1.8p+1 -0x1p-3"."""
    if isinstance(value, dict):
        return {name: encode(entry) for name, entry in value.items()}
    if isinstance(value, int):
        return value
    array = np.asarray(value)
    digits = str if array.dtype.kind == "i" else float.hex
    return "x".join(map(str, array.shape)) + ": " + " ".join(map(digits, array.ravel().tolist()))


def decode(value):
    """encode, undone."""
    if isinstance(value, dict):
        return {name: decode(entry) for name, entry in value.items()}
    if isinstance(value, int):
        return value
    shape, digits = value.split(":")
    number = float.fromhex if "0x" in digits else int
    sizes = [int(size) for size in shape.split("x") if size]
    return np.array([number(x) for x in digits.split()]).reshape(sizes)


if __name__ == "__main__":
    for case in CASES:
        write(case)
