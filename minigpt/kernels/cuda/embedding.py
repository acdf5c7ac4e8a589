"""Launches embedding.cu: two lookups and their gradients. Reference: minigpt/ops/embedding.py."""

import cupy

from minigpt.kernels.cuda.module import blocks, kernel, width

THREADS = 128


def embedding_forward(tokens, wte, wpe):
    """x[b, t] = wte[tokens[b, t]] + wpe[t]. tokens: int32, all below V.

    tokens (B, T), wte (V, C), wpe (N, C) -> x (B, T, C)
    """
    C = wte.shape[1]
    x = cupy.empty((*tokens.shape, C), wte.dtype)
    wide = width(C, wte, wpe)
    launch = kernel("embedding", "embedding_forward", wte.dtype, WIDTH=wide)
    grid = (tokens.size, blocks(C, THREADS * wide))
    launch(grid, (THREADS,), tokens, wte, wpe, x, tokens.shape[1], C)
    return x


def embedding_backward_tokens(dx, tokens, *, out, add):
    """out[v] = the sum of dx over the places of token v, 0 where there is none; with add, out[v] + that.

    The places are sorted by token on the GPU; equal tokens keep their order, so sums are always made alike.

    dx (B, T, C), tokens (B, T) -> nothing; out (V, C)
    """
    if not add:
        out.fill(0)
    C, n = dx.shape[-1], tokens.size
    tokens = tokens.reshape(n)
    order = cupy.argsort(tokens, kind="stable")
    wide = width(C, dx)
    launch = kernel("embedding", "embedding_backward_tokens", dx.dtype, WIDTH=wide)
    launch((n, blocks(C, 32 * wide)), (256,), dx, tokens, order, out, n, C)


def embedding_backward_positions(dx, *, out, add):
    """out[t] = the sum of dx over the batch, 0 from T on; with add, out[t] + that.

    dx (B, T, C) -> nothing; out (N, C)
    """
    B, T, C = dx.shape
    wide = width(C, dx)
    launch = kernel("embedding", "embedding_backward_positions", dx.dtype, WIDTH=wide)
    positions = T if add else out.shape[0]
    launch((positions, blocks(C, 32 * wide)), (256,), dx, out, B, T, C, add)
