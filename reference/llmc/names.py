"""What every tensor is called and how it is shaped: the names of train_gpt2.c, the axes of each.

An axis is a group of letters that lie together: "L B T KHD" is qkv, (L, B, T, 3C), whose channels are
queries, keys and values (K = 3) of H heads of D channels. The letters inside a group matter where another
program splits it (reference/diff/layouts.py).
"""

import math
from dataclasses import dataclass

import numpy as np

ACTIVATIONS = {
    "encoded": "B T HD",
    "ln1": "L B T HD", "ln1_mean": "L B T", "ln1_rstd": "L B T",
    "qkv": "L B T KHD", "atty": "L B T HD", "preatt": "L B H T S", "att": "L B H T S", "attproj": "L B T HD",
    "residual2": "L B T HD",
    "ln2": "L B T HD", "ln2_mean": "L B T", "ln2_rstd": "L B T",
    "fch": "L B T F", "fch_gelu": "L B T F", "fcproj": "L B T HD",
    "residual3": "L B T HD",
    "lnf": "B T HD", "lnf_mean": "B T", "lnf_rstd": "B T",
    "logits": "B T V", "probs": "B T V", "losses": "B T",
}  # fmt: skip

PARAMETERS = {
    "wte": "V HD", "wpe": "N HD",
    "ln1w": "L HD", "ln1b": "L HD",
    "qkvw": "L KHD I", "qkvb": "L KHD",
    "attprojw": "L O HD", "attprojb": "L O",
    "ln2w": "L HD", "ln2b": "L HD",
    "fcw": "L F I", "fcb": "L F",
    "fcprojw": "L O F", "fcprojb": "L O",
    "lnfw": "HD", "lnfb": "HD",
}  # fmt: skip

AXES = ACTIVATIONS | PARAMETERS | {"loss": ""}
AXES |= {f"d{name}": axes for name, axes in AXES.items() if name != "loss"}

# The Hugging Face hub's name of each parameter; {} is the layer
HUB = {
    "wte": "wte.weight", "wpe": "wpe.weight",
    "ln1w": "h.{}.ln_1.weight", "ln1b": "h.{}.ln_1.bias",
    "qkvw": "h.{}.attn.c_attn.weight", "qkvb": "h.{}.attn.c_attn.bias",
    "attprojw": "h.{}.attn.c_proj.weight", "attprojb": "h.{}.attn.c_proj.bias",
    "ln2w": "h.{}.ln_2.weight", "ln2b": "h.{}.ln_2.bias",
    "fcw": "h.{}.mlp.c_fc.weight", "fcb": "h.{}.mlp.c_fc.bias",
    "fcprojw": "h.{}.mlp.c_proj.weight", "fcprojb": "h.{}.mlp.c_proj.bias",
    "lnfw": "ln_f.weight", "lnfb": "ln_f.bias",
}  # fmt: skip
MATRICES = ("qkvw", "attprojw", "fcw", "fcprojw")  # the hub stores these (in, out)


@dataclass(frozen=True)
class Sizes:
    """A model's and a batch's sizes, by the letters of the legend."""

    L: int
    H: int
    D: int
    V: int
    N: int
    B: int
    T: int

    @property
    def C(self):
        return self.H * self.D

    @property
    def padded(self):
        """The vocabulary as llm.c pads it, to a multiple of 128."""
        return -(-self.V // 128) * 128

    @property
    def letters(self):
        """The size of every letter of AXES."""
        C = self.C
        return {"L": self.L, "H": self.H, "D": self.D, "V": self.V, "N": self.N, "B": self.B, "T": self.T,
                "S": self.T, "K": 3, "F": 4 * C, "I": C, "O": C}  # fmt: skip

    def words(self):
        """For people."""
        return f"L={self.L}, H={self.H}, C={self.C}, V={self.V}, N={self.N}, B={self.B}, T={self.T}"

    def count(self, names):
        """How many numbers the tensors of these names hold, all layers together."""
        return sum(math.prod(self.shape(AXES[name])) for name in names)

    def shape(self, axes):
        """The shape that axes such as "B T KHD" stand for: Sizes(...).shape("B T HD") -> (B, T, C)."""
        return tuple(math.prod(self.letters[letter] for letter in group) for group in axes.split())


@dataclass(frozen=True)
class Inputs:
    """All that a pass depends on: parameters by key, (out, in); tokens and targets (B, T), -1 not scored."""

    sizes: Sizes
    params: dict
    tokens: np.ndarray
    targets: np.ndarray


def layered(name):
    """Whether every layer has a tensor of this name."""
    return AXES[name].startswith("L")


def keys(name, sizes):
    """The keys of a name: one, or one a layer."""
    return [(name, layer) for layer in range(sizes.L)] if layered(name) else [(name, None)]


def axes_of(name):
    """The axes of one layer's tensor."""
    return AXES[name].removeprefix("L").strip()


def label(key):
    """A key for people: ("ln1", 3) -> ln1[3], ("logits", None) -> logits."""
    name, layer = key
    return name if layer is None else f"{name}[{layer}]"
