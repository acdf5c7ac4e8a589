"""Launches column_sum.cu: the gradient of a bias. Reference: dbias in minigpt/ops/linear.py."""

import cupy

from minigpt.kernels.cuda.module import blocks, kernel, width

STRIPS = 64  # parts of the rows that are added up side by side


def column_sum(x, *, out, add):
    """out = sum over all rows of x, or with add out + that sum.

    x (B, T, O) -> nothing; out (O)
    """
    C = x.shape[-1]
    rows = x.size // C
    strips, wide = min(blocks(rows, 8), STRIPS), width(C, x)
    partial = cupy.empty((strips, 1, C), "float32")
    launch = kernel("column_sum", "column_sum_strips", x.dtype, WIDTH=wide)
    launch((blocks(C, 32 * wide), strips), (256,), x, partial, rows, C)
    finish(partial, (out,), add)


def finish(partial, out, add):
    """out[k] = partial[:, k].sum(axis=0), or with add out[k] + that; an out may be None.

    partial (K, S, C)
    """
    strips, sums, C = partial.shape
    targets = (*out, None, None, None, None)[:4]
    kernel("column_sum", "column_sum_finish")(
        (blocks(C, 32), sums), (256,), partial, *targets, strips, C, add
    )
