"""Launches adamw.cu: the gradient's norm and the optimizer, on flat buffers. Reference: minigpt/optim.py."""

import math

import cupy

from minigpt.kernels.cuda.module import blocks, kernel

PARTS = 1024  # blocks that add up squares, the same on every GPU


def global_norm(grads):
    """sqrt(sum of grads^2), on the device.

    grads (P) -> norm ()
    """
    n, wide = grads.size, wide_as_aligned(grads)
    parts = min(PARTS, blocks(n, 512 * wide))
    partial, norm = cupy.empty(parts, "float32"), cupy.empty((), "float32")
    kernel("adamw", "norm_partial", WIDTH=wide)((parts,), (512,), grads, partial, n)
    kernel("adamw", "norm_finish")((1,), (1024,), partial, norm, parts)
    return norm


def adamw(
    params, grads, first, second, norm, *, step, clip, n_decayed, lr, betas, eps, weight_decay, copy=None
):
    """optim.adamw with scale = clip_scale(norm, clip), written over params, first and second.

    norm stays on the device. copy: an array of the same length, for example of bfloat16, that receives the
    new parameters too. If the norm is not a finite number, nothing changes.

    params (P), grads (P), first (P), second (P), norm () -> params (P), first (P), second (P)
    """
    n, (beta1, beta2) = params.size, betas
    wide = min(wide_as_aligned(a) for a in (params, grads, first, second, copy) if a is not None)
    launch = kernel("adamw", "adamw", "float32" if copy is None else copy.dtype, WIDTH=wide)
    launch(
        (blocks(n, 256 * wide),), (256,), params, grads, first, second, copy, norm, n, n_decayed,
        math.inf if clip is None else clip, lr, beta1, 1 - beta1, beta2, 1 - beta2,
        1 - beta1**step, 1 - beta2**step, eps, weight_decay,
    )  # fmt: skip
    return params, first, second


def wide_as_aligned(array):
    """4 where packets of four lie on multiples of their size, else 1; the array's length does not matter."""
    return 4 if array.data.ptr % (4 * array.dtype.itemsize) == 0 else 1
