"""A block with no way back: nothing is kept but what comes out. Reference: minigpt/reading.py.

A few rows are one step of one thread, as BLAS shares their products among its own threads; many go in
sweeps, as in block.py. Between the two, a thread with rows of its own would read every weight for too few:
there the operations are called one by one, and wide products are cut by columns.
"""

import numpy as np

from minigpt.kernels.cpu import crew, gelu, layernorm
from minigpt.kernels.cpu.linear import project
from minigpt.kernels.cpu.team import FEW, blocks, slices, steps
from minigpt.model import block_forward
from minigpt.reading import WithAttention

MANY = 128  # rows a thread; at 24 sweeps are as quick as single operations, at 128 quicker


def block_read(ops, p, x, n_head, attention, *, team):
    """x + attention(layernorm(x)), then that + mlp(layernorm(that)). R rows at a time.

    attention: a function as ops.attention_forward.

    x (B, T, C) -> x (B, T, C)
    """
    (B, T, C), threads = x.shape, team.size
    N = B * T
    if FEW < N < MANY * threads:
        return block_forward(WithAttention(ops, attention), p, x, n_head)[0]
    shares = slices(N, 1 if N <= FEW else threads)
    stream, qkv, out = x.reshape(N, C), np.empty((N, 3 * C), x.dtype), np.empty((N, C), x.dtype)

    def before(rows):
        n = normalised(stream[rows], p["ln_1.weight"], p["ln_1.bias"])  # (R, C)
        project(n, p["attn.c_attn.weight"], p["attn.c_attn.bias"], qkv[rows])

    def after(rows):
        y = project(mixed[rows], p["attn.c_proj.weight"], p["attn.c_proj.bias"], out[rows])  # (R, C)
        y += stream[rows]
        n = normalised(y, p["ln_2.weight"], p["ln_2.bias"])  # (R, C)
        wide = np.empty((len(n), p["mlp.c_fc.bias"].size), n.dtype)  # (R, F)
        project(n, p["mlp.c_fc.weight"], p["mlp.c_fc.bias"], wide)
        active = np.empty_like(wide)
        for few in blocks(slice(0, len(wide)), wide.shape[1]):
            gelu.value(wide[few], active[few])
        y += project(active, p["mlp.c_proj.weight"], p["mlp.c_proj.bias"], n)

    def sweep(job):
        team.share(lambda share: [job(rows) for rows in steps(share, crew.ROWS)], shares)

    sweep(before)
    mixed = attention(qkv.reshape(B, T, 3 * C), n_head)[0].reshape(N, C)
    sweep(after)
    return out.reshape(B, T, C)


def normalised(x, gain, bias):
    """layernorm(x), alone.

    x (N, C), gain (C), bias (C) -> y (N, C)
    """
    n = np.empty_like(x)
    layernorm.normalise(x, n, np.empty((len(x), 1), x.dtype))
    return layernorm.scaled(n, gain, bias, out=n)
