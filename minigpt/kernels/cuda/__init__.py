"""Kernels for one NVIDIA GPU: CUDA C in .cu files, one operation each, and beside each what launches it.

Activations and weights are stored as bfloat16 or float32; all arithmetic is float32. Every sum is made in a
fixed order and nothing is added atomically, so two runs give the same bits. Gradients of parameters go into
float32 views that the caller gives: `out`, written over or, with add=True, added to.

module.py compiles; a file beside each .cu launches; gemm.py hands products to cuBLAS; operations.py and
attention.py make the operations of ops/ out of these, block.py a whole block; upload.py brings the batches.
"""

import contextlib
from functools import partial

from minigpt.kernels import Table
from minigpt.kernels.cuda import block, gradient, operations
from minigpt.kernels.cuda.gemm import FULL, TF32
from minigpt.kernels.cuda.upload import Upload


def table(functions, dtype, tf32=False):
    """The reference's functions with the kernels in their places.

    dtype: what activations and weights are stored as, "bfloat16" or "float32". tf32: float32 products may cut
    their factors to 10 bits of fraction.
    """
    compute = TF32 if tf32 else FULL
    kernels = operations.bound(compute, dtype) | {
        "block_forward": partial(block.block_forward, compute=compute),
        "block_backward": partial(block.block_backward, compute=compute),
        "collect": gradient.collect,
        "upload": Upload(),
    }
    return Table(**functions | kernels, name="fast", threads=1, session=contextlib.nullcontext)
