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
from minigpt.arrays import DEVICES, DTYPES, collect, on_device, use_gpu
from minigpt.errors import ConfigError
from minigpt.model import block_backward, block_forward
from minigpt.reading import block_read


def weights(params):
    """The parameters in the number type that the operations work in: here as they are."""
    return params


def session(rows=None):
    """The context in which to call operations: here any."""
    return contextlib.nullcontext()


def upload(batch):
    """A batch's (tokens, targets) where the operations work: here where they are."""
    return batch


REFERENCE = {name: getattr(ops, name) for name in ops.__all__} | {
    "adamw": optim.adamw,
    "block_backward": block_backward,
    "block_forward": block_forward,
    "block_read": block_read,
    "clip_scale": optim.clip_scale,
    "collect": collect,
    "global_norm": optim.global_norm,
    "upload": upload,
    "weights": weights,
}


PRODUCTS = ("cublas", "cublaslt")  # what multiplies on a GPU
ATTENTION = ("tiles", "scores", "cudnn")  # how attention goes there


class Table(SimpleNamespace):
    """The functions of REFERENCE as attributes, and session(rows): the context in which to call them.

    rows: how many go through a product at once, if they are known to be few; sessions may lie in each other.
    """

    name: str
    threads: int
    session: Callable[..., contextlib.AbstractContextManager]


def check_choice(name, dtype, device, tf32=False, products=PRODUCTS[0], attention=ATTENTION[0]):
    """Raise ConfigError unless there is a table of this name, for this number type, on this device."""
    if name not in ("fast", "reference"):
        raise ConfigError(f"ops must be fast or reference: found {name!r}")
    if device not in DEVICES:
        raise ConfigError(f"device must be {' or '.join(DEVICES)}: found {device!r}")
    if dtype not in (*DTYPES, "bfloat16"):
        raise ConfigError(f"dtype must be one of {', '.join(DTYPES)}, bfloat16: found {dtype!r}")
    if dtype == "bfloat16" and (device, name) != ("cupy", "fast"):
        raise ConfigError(f"dtype bfloat16 is for device cupy and ops fast: found {device} and {name}")
    if type(tf32) is not bool or (tf32 and (device, name, dtype) != ("cupy", "fast", "float32")):
        found = f"{tf32!r} with {device}, {name} and {dtype}"
        raise ConfigError(
            f"tf32 must be True or False, and is for device cupy, ops fast, float32: found {found}"
        )
    if products not in PRODUCTS:
        raise ConfigError(f"products must be {' or '.join(PRODUCTS)}: found {products!r}")
    if attention not in ATTENTION:
        raise ConfigError(f"attention must be one of {', '.join(ATTENTION)}: found {attention!r}")
    for field, chosen, usual in (
        ("products", products, PRODUCTS[0]),
        ("attention", attention, ATTENTION[0]),
    ):
        if chosen != usual and (device, name) != ("cupy", "fast"):
            raise ConfigError(f"{field} {chosen} is for device cupy and ops fast: found {device} and {name}")
    if attention == "cudnn" and dtype != "bfloat16":
        raise ConfigError(f"attention cudnn is for dtype bfloat16: found {dtype}")


def table(
    name, dtype, threads=None, device="numpy", tf32=False, products=PRODUCTS[0], attention=ATTENTION[0]
):
    """The ops table called name for a number type on a device. Raises ConfigError.

    "reference": plain array operations. "fast": kernels, which on CPU cores are blocked and threaded, on
    a GPU written in CUDA; float64 has none and runs the reference. threads: None takes every core there is.
    tf32: on a GPU in float32, products may cut their factors to 10 bits of fraction. products: "cublas", or
    "cublaslt", which finishes biases, GELU and sums of gradients on the way. attention: "tiles", which keep
    no scores, for heads of 64 in bfloat16 (others keep them); "scores" always; "cudnn" for heads of 8, 16
    ... 128 in bfloat16 and two positions or more, else as "tiles".
    """
    check_choice(name, dtype, device, tf32, products, attention)
    if device == "cupy":
        use_gpu()
    if name == "fast" and dtype != "float64":
        # imported only where they are used: one needs CuPy, the other settles the process's memory allocator
        if device == "cupy":
            cuda = importlib.import_module("minigpt.kernels.cuda")
            return cuda.table(REFERENCE, dtype, tf32, products, attention)
        return importlib.import_module("minigpt.kernels.cpu").table(REFERENCE, threads)
    functions = REFERENCE | ({"upload": upload_plainly} if device == "cupy" else {})
    return Table(**functions, name="reference", threads=1, session=session)


def upload_plainly(batch):
    """A batch on the GPU, before the next line runs."""
    return tuple(on_device(array, "cupy") for array in batch)
