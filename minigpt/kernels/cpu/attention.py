"""Causal attention in tiles of query rows that skip what the mask would hide. Reference: ops/attention.py.

Work is cut into units of a few heads, shared by the threads, and each unit into tiles of TILE query rows.
Tile i..j looks at keys 0..j alone: half of the products of the full square. No score outlives its tile:
backward makes them anew from q, k and each row's log(sum(exp(scores))), as FlashAttention does (Dao et al.
2022, arXiv:2205.14135), so memory grows with T, not with T^2.
"""

import math

import numpy as np

from minigpt.kernels.cpu.gradient import lay
from minigpt.kernels.cpu.team import slices, steps

TILE = 128  # query rows
UNIT_BYTES = 1024 * 1024  # scores that are worked on together: more leave the cache, fewer make more calls
NEAR = 32  # exp(32) and exp(-32) times values are far from where float32 ends: no shift is needed
HIDDEN = np.triu(np.full((TILE, TILE), -np.inf, np.float32), 1)  # the mask of a square on the diagonal


def attention_forward(qkv, n_head, *, team):
    """y = softmax(mask(q @ k' / sqrt(D))) @ v for every head.

    qkv (B, T, 3C) -> y (B, T, C)
    """
    B, T, width = qkv.shape
    y = np.empty((B, T, width // 3), qkv.dtype)
    log_total = np.empty((B, n_head, T, 1), qkv.dtype)
    units = units_of(slice(0, B), n_head, T, team.size)
    size = team.worth(B * n_head * T * T)
    team.share(lambda unit: attend([unit], qkv, y, log_total), units, size)
    return y, (qkv, y, log_total, n_head)


def attend(units, qkv, y, log_total):
    """Write some heads of some sequences into y and log_total.

    qkv (B, T, 3C), y (B, T, C), log_total (B, H, T, 1)
    """
    n_head = log_total.shape[1]
    (q, k, v), (out,) = heads(qkv, 3, n_head), heads(y, 1, n_head)
    for unit in units:
        keys = scaled(k[unit])
        for tile in tiles_of(qkv.shape[1]):
            tile_forward(q[unit], keys, v[unit], out[unit], log_total[unit], tile)


def tile_forward(q, keys, v, out, log_total, tile):
    """Write one tile's rows of out and log_total. A row's maximum is looked for only where exp needs it.

    q, keys, v, out (b, h, T, D), log_total (b, h, T, 1): some heads of some sequences; keys = k / sqrt(D)
    """
    scores = tile_scores(q, keys, tile)  # (b, h, R, S)
    near = -NEAR < scores.min() and scores.max() < NEAR
    hide(scores, tile)
    top = 0 if near else scores.max(axis=-1, keepdims=True)  # (b, h, R, 1); what exp is shifted by cancels
    if not near:
        scores -= top
    weights = np.exp(scores, out=scores)
    total = (weights @ np.ones(tile.stop, weights.dtype))[..., None]  # (b, h, R, 1)
    np.add(top, np.log(total), out=log_total[..., tile, :])
    np.divide(weights @ v[..., : tile.stop, :], total, out=out[..., tile, :])


def attention_backward(dy, cache, *, team):
    """dqkv, tile by tile.

    With do the gradient at a head's output o, and probs = exp(scores - log_total):

        dv      = probs' @ do
        dscores = probs * (do @ v' - sum(do * o))    for sum(dprobs * probs) = sum(do * o), row by row
        dq      = dscores @ k / sqrt(D)
        dk      = dscores' @ q / sqrt(D)

    dy (B, T, C) -> dqkv (B, T, 3C)
    """
    qkv, y, log_total, n_head = cache
    B, T, _ = qkv.shape
    dqkv = np.empty_like(qkv)
    units = units_of(slice(0, B), n_head, T, team.size)
    size = team.worth(B * n_head * T * T)
    team.share(lambda unit: attend_back([unit], dy, dqkv, qkv, y, log_total), units, size)
    return dqkv


def attend_back(units, dy, dqkv, qkv, y, log_total):
    """Write the gradients of some heads of some sequences into dqkv.

    dy (B, T, C), dqkv (B, T, 3C), qkv (B, T, 3C), y (B, T, C), log_total (B, H, T, 1)
    """
    n_head = log_total.shape[1]
    (q, k, v), (dq, dk, dv) = heads(qkv, 3, n_head), heads(dqkv, 3, n_head)
    (out,), (do,) = heads(y, 1, n_head), heads(dy, 1, n_head)
    for unit in units:
        unit_backward(*(array[unit] for array in (q, k, v, out, log_total, do, dq, dk, dv)))


def unit_backward(q, k, v, out, log_total, do, dq, dk, dv):
    """Write dq, dk and dv of some heads of some sequences.

    Scores are at most log_total: where that is near 0, exp(scores) is safe, and the other factor of
    probs = exp(scores) * exp(-log_total) goes into do, which is D wide, instead of into T columns. That keeps
    float32's precision for gradients of 1e-24 to 1e24.

    q, k, v, out, do, dq, dk, dv (b, h, T, D), log_total (b, h, T, 1)
    """
    shift = None if np.abs(log_total).max() < NEAR else log_total
    if shift is None:
        do = do * np.exp(-log_total)
    keys, delta = scaled(k), np.vecdot(do, out)[..., None]  # (b, h, T, 1)
    dkeys, dvalues = np.empty_like(keys), np.empty_like(keys)
    # the last tile sees every key, so it writes dkeys and dvalues whole, and the earlier ones add
    for tile in reversed(tiles_of(q.shape[-2])):
        tile_backward(q, keys, v, shift, do, delta, dq, dkeys, dvalues, tile)
    dk[...], dv[...] = scaled(dkeys), dvalues


def tile_backward(q, keys, v, shift, do, delta, dq, dkeys, dvalues, tile):
    """Write one tile's rows of dq and add its part of dkeys and dvalues.

    q, keys, v, do, dq, dkeys, dvalues (b, h, T, D), shift, delta (b, h, T, 1): some heads of some sequences
    """
    seen, last = slice(0, tile.stop), tile.stop == q.shape[-2]
    probs = hide(tile_scores(q, keys, tile), tile)  # (b, h, R, S)
    if shift is not None:
        probs -= shift[..., tile, :]
    np.exp(probs, out=probs)
    lay(probs.swapaxes(-1, -2), do[..., tile, :], dvalues[..., seen, :], add=not last)
    dscores = do[..., tile, :] @ v[..., seen, :].swapaxes(-1, -2)  # (b, h, R, S)
    dscores -= delta[..., tile, :]
    dscores *= probs
    np.matmul(dscores, keys[..., seen, :], out=dq[..., tile, :])
    lay(dscores.swapaxes(-1, -2), q[..., tile, :], dkeys[..., seen, :], add=not last)


def scaled(x):
    """x / sqrt(D), each head's rows side by side.

    x (b, h, T, D) -> x (b, h, T, D)
    """
    return np.multiply(x, 1 / math.sqrt(x.shape[-1]), order="C")


def tile_scores(q, keys, tile):
    """q @ keys' for one tile's rows and the keys that its last row sees.

    q, keys (b, h, T, D) -> scores (b, h, R, S)
    """
    return q[..., tile, :] @ keys[..., : tile.stop, :].swapaxes(-1, -2)


def hide(scores, tile):
    """Scores of keys behind their query to -inf.

    scores (b, h, R, S) -> scores (b, h, R, S)
    """
    size = tile.stop - tile.start
    scores[..., tile] += HIDDEN[:size, :size]
    return scores


def heads(x, parts, n_head):
    """Arrays side by side in the last axis, each as heads. A view: BLAS takes rows with gaps between them.

    x (B, T, PC) -> heads (P, B, H, T, D)
    """
    B, T, width = x.shape
    return x.reshape(B, T, parts, n_head, width // parts // n_head).transpose(2, 0, 3, 1, 4)


def units_of(sequences, H, T, threads):
    """(slice of sequences, slice of heads) pairs; see unit_shape."""
    step, lots = unit_shape(sequences.stop - sequences.start, H, T, threads)
    return [(some, few) for some in steps(sequences, step) for few in slices(H, lots)]


def unit_shape(B, H, T, threads):
    """(sequences in a unit, lots of heads), so that a unit's scores for one tile take about UNIT_BYTES.

    Smaller lots where that makes the units a multiple of the threads: with three units of four heads, one of
    two threads waits while the other makes its second.
    """
    count = max(1, UNIT_BYTES // (4 * min(T, TILE) * T))  # heads in a unit
    sequences = min(max(1, count // H), -(-B // threads))
    least = -(-H // count)
    even = (lots for lots in range(least, H + 1) if sequences == 1 and B * lots % threads == 0)
    return sequences, next(even, least)


def tiles_of(T):
    """Slices of TILE query rows."""
    return [slice(i, min(i + TILE, T)) for i in range(0, T, TILE)]
