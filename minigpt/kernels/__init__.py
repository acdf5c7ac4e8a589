"""Ops tables: which function does each operation. The reference is ops/, optim and the model's own blocks.

A fast table is the reference with some entries replaced by kernels of the same name and signature, so
the model never knows which it runs on. tests/reference/test_scalar.py holds every table to the same scalar
programs, within a bound that these derive.
"""

import contextlib
from collections.abc import Callable
from types import SimpleNamespace

from minigpt import ops, optim
from minigpt.arrays import collect
from minigpt.errors import ConfigError
from minigpt.model import block_backward, block_forward


def weights(params):
    """The parameters in the number type that the operations work in: here as they are."""
    return params


REFERENCE = {name: getattr(ops, name) for name in ops.__all__} | {
    "adamw": optim.adamw,
    "block_backward": block_backward,
    "block_forward": block_forward,
    "collect": collect,
    "global_norm": optim.global_norm,
    "weights": weights,
}


class Table(SimpleNamespace):
    """The functions of REFERENCE as attributes, and `session`: the context in which to call them."""

    name: str
    threads: int
    session: Callable[[], contextlib.AbstractContextManager]


def table(name, dtype, threads=None):
    """The ops table called name for a number type.

    "reference": plain array operations. "fast": cache-blocked, threaded kernels for float32; float64 has
    none and runs the reference. threads: None takes every core this process may use.
    """
    if name not in ("fast", "reference"):
        raise ConfigError(f"ops must be fast or reference: found {name!r}")
    if name == "fast" and dtype == "float32":
        from minigpt.kernels import cpu  # only where it is used: it settles the process's memory allocator

        return cpu.table(REFERENCE, threads)
    return Table(**REFERENCE, name="reference", threads=1, session=contextlib.nullcontext)
