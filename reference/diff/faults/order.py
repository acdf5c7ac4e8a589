"""Queries, keys and values taken for one another; matrices taken for their transposes."""

import itertools

import numpy as np

from reference.diff.faults.fault import ATTENTION, Fault
from reference.llmc import ops


def reordered(order):
    """qkv read as if its thirds were the parts in another order: order[i] is the part found at place i."""

    def split(qkv, n_head):
        thirds = ops.attention_split(qkv, n_head)
        return [thirds[order.index(part)] for part in range(3)]

    def merge(*gradients):
        return ops.attention_merge(*(gradients[part] for part in order))

    return split, merge


def split_by_head(qkv, n_head):
    """qkv read as (H, 3, D)."""
    B, T, width = qkv.shape
    return qkv.reshape(B, T, n_head, 3, width // 3 // n_head).transpose(3, 0, 2, 1, 4)


def merge_by_head(*gradients):
    B, H, T, D = gradients[0].shape
    return np.stack(gradients).transpose(1, 3, 2, 0, 4).reshape(B, T, 3 * H * D)


def order_faults():
    for order in list(itertools.permutations(range(3)))[1:]:
        split, merge = reordered(order)
        word = ", ".join("qkv"[part] for part in order)
        yield Fault(f"order-{word.replace(', ', '')}", f"qkv is read in the order {word}", ATTENTION,
                    {"attention_split": split, "attention_merge": merge})  # fmt: skip
        yield Fault(f"order-{word.replace(', ', '')}-backward", f"dqkv is written in the order {word}",
                    ("dqkv",), {"attention_merge": merge})  # fmt: skip
    yield Fault("order-by-head", "qkv is read head by head, (H, 3, D), and is (3, H, D)", ATTENTION,
                {"attention_split": split_by_head, "attention_merge": merge_by_head})  # fmt: skip


def misread(weight):
    """A buffer that holds (in, out), read as (out, in); for a square matrix, its transpose."""
    return weight.T.reshape(weight.shape)


def read_back(gradient):
    """misread, undone."""
    return gradient.reshape(gradient.shape[::-1]).T


def weight_faults():
    shown = {"qkvw": "qkv", "attprojw": "attproj", "fcw": "fch", "fcprojw": "fcproj"}
    for name, output in shown.items():
        changes = {
            "weight": lambda at, stored, name=name: misread(stored) if at == name else stored,
            "parameter_gradient": lambda at, g, name=name: read_back(g) if at == name else g,
        }
        yield Fault(
            f"transposed-{name}", f"{name} is transposed: (in, out) is read as (out, in)", (output,), changes
        )
