"""Kernels for one NVIDIA GPU: CUDA C in .cu files, one operation each, and beside each what launches it.

Activations and weights are stored as bfloat16 or float32; all arithmetic is float32. Every sum is made in a
fixed order and nothing is added atomically, so two runs give the same bits. Gradients of parameters go into
float32 views that the caller gives: `out`, written over or, with add=True, added to.

module.py compiles; a file beside each .cu launches; gemm.py hands products to cuBLAS; operations.py and
attention.py make the operations of ops/ out of these, block.py a whole block; upload.py brings the batches.
Two libraries may be chosen over these: cublasLt (cublaslt.py, epilogues.py, epilogue_block.py), whose
products do more than multiply, and cuDNN's attention (cudnn_attention.py).
"""

import importlib
from functools import partial

from minigpt.errors import ConfigError
from minigpt.kernels import Table, gradient, session
from minigpt.kernels.cuda import attention as own
from minigpt.kernels.cuda import block, operations
from minigpt.kernels.cuda.gemm import FULL, TF32
from minigpt.kernels.cuda.upload import Upload


def table(functions, dtype, tf32=False, products="cublas", attention="tiles"):
    """The reference's functions with the kernels in their places. Raises ConfigError.

    dtype: what activations and weights are stored as, "bfloat16" or "float32". tf32: float32 products may cut
    their factors to 10 bits of fraction. products, attention: as kernels.table says.
    """
    compute = TF32 if tf32 else FULL
    kernels = operations.bound(compute, dtype) | {
        "block_forward": partial(block.block_forward, compute=compute),
        "block_backward": partial(block.block_backward, compute=compute),
        "collect": gradient.collect,
        "upload": Upload(),
    }
    kernels |= attention_entries(attention, compute)
    if products == "cublaslt":
        library("cublaslt", "products cublaslt")
        kernels |= importlib.import_module("minigpt.kernels.cuda.epilogue_block").entries(compute)
    return Table(**functions | kernels, name="fast", threads=1, session=session)


def attention_entries(attention, compute):
    """name -> function: attention as chosen."""
    if attention == "scores":
        forward, backward = own.scores_forward, own.scores_backward
    else:
        module = library("cudnn_attention", "attention cudnn") if attention == "cudnn" else own
        forward, backward = module.attention_forward, module.attention_backward
    given = {"attention_forward": forward, "attention_backward": backward}
    return {name: partial(function, compute=compute) for name, function in given.items()}


def library(module, choice):
    """The module around a library that was chosen, once the library has been started. Raises ConfigError."""
    try:
        found = importlib.import_module(f"minigpt.kernels.cuda.{module}")
        found.handle()
    except Exception as reason:  # each library has exceptions of its own for what it misses
        said = " ".join(str(reason).split())
        raise ConfigError(f"{choice}: {said}; pip install 'minigpt[cupy-more]'") from None
    return found
