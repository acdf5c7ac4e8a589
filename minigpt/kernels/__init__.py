"""Ops tables: which function does each operation. The reference is ops/, optim and the model's own blocks.

A fast table is the reference with some entries replaced by kernels of the same name and signature, so
the model never knows which it runs on. tests/reference/test_scalar.py holds every table to the same scalar
programs, within a bound that these derive.
"""

import contextlib
import importlib
from collections.abc import Callable
from types import SimpleNamespace

from minigpt import ops, optim
from minigpt.arrays import DEVICES, collect, on_device, use_gpu
from minigpt.errors import ConfigError
from minigpt.model import block_backward, block_forward


def weights(params):
    """The parameters in the number type that the operations work in: here as they are."""
    return params


def upload(batch):
    """A batch's (tokens, targets) where the operations work: here where they are."""
    return batch


REFERENCE = {name: getattr(ops, name) for name in ops.__all__} | {
    "adamw": optim.adamw,
    "block_backward": block_backward,
    "block_forward": block_forward,
    "clip_scale": optim.clip_scale,
    "collect": collect,
    "global_norm": optim.global_norm,
    "upload": upload,
    "weights": weights,
}


class Table(SimpleNamespace):
    """The functions of REFERENCE as attributes, and `session`: the context in which to call them."""

    name: str
    threads: int
    session: Callable[[], contextlib.AbstractContextManager]


def table(name, dtype, threads=None, device="numpy"):
    """The ops table called name for a number type on a device. Raises ConfigError.

    "reference": plain array operations. "fast": kernels, which on CPU cores are blocked and threaded, on
    a GPU written in CUDA; float64 has none and runs the reference. threads: None takes every core there is.
    """
    if name not in ("fast", "reference"):
        raise ConfigError(f"ops must be fast or reference: found {name!r}")
    if device not in DEVICES:
        raise ConfigError(f"device must be one of {', '.join(DEVICES)}: found {device!r}")
    if dtype == "bfloat16" and (device, name) != ("cupy", "fast"):
        raise ConfigError(f"dtype bfloat16 needs --device cupy and --ops fast: found {device} and {name}")
    if device == "cupy":
        use_gpu()
    if name == "fast" and dtype != "float64":
        # imported only where they are used: one needs CuPy, the other settles the process's memory allocator
        kernels = importlib.import_module(f"minigpt.kernels.{'cuda' if device == 'cupy' else 'cpu'}")
        return kernels.table(REFERENCE, dtype=dtype, threads=threads)
    functions = REFERENCE | ({"upload": upload_plainly} if device == "cupy" else {})
    return Table(**functions, name="reference", threads=1, session=contextlib.nullcontext)


def upload_plainly(batch):
    """A batch on the GPU, before the next line runs."""
    return tuple(on_device(array, "cupy") for array in batch)
