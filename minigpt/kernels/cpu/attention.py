"""Causal attention in tiles of query rows that skip what the mask would hide. Reference: ops/attention.py.

Work is cut into units of a few heads of one sequence, shared by the threads, and each unit into tiles of
TILE query rows. Tile i..j looks at keys 0..j alone: half of the products, and of the memory, of the full
square. Kept for backward are E = exp(scores - row maximum) and recip = 1 / (row sum of E), so that the
division is made on results (T, D) instead of on scores (T, T): probs = E * recip is never formed.
"""

import math

import numpy as np

TILE = 128  # query rows
UNIT_BYTES = 512 * 1024  # scores that are worked on together: a part of the second-level cache


def attention_forward(qkv, n_head, *, team):
    """y = softmax(mask(q @ k' / sqrt(D))) @ v for every head.

    qkv (B, T, 3C) -> y (B, T, C)
    """
    B, T, width = qkv.shape
    y = np.empty((B, T, width // 3), qkv.dtype)
    recip = np.empty((B, n_head, T, 1), qkv.dtype)
    (q, k, v), (out,) = heads(qkv, 3, n_head), heads(y, 1, n_head)
    units = units_of(B, n_head, T)
    kept = [None] * len(units)
    hidden = np.triu(np.full((TILE, TILE), -np.inf, qkv.dtype), 1)  # a diagonal square's mask

    def job(share):
        for i in range(share.start, share.stop):
            arrays = [array[units[i]] for array in (q, k, v, out, recip)]
            kept[i] = [tile_forward(*arrays, tile, hidden) for tile in tiles_of(T)]

    team.split(job, len(units))
    return y, (qkv, y, recip, kept, n_head)


def tile_forward(q, k, v, out, recip, tile, hidden):
    """Write one tile's rows of out and recip; return its E. All of some heads (h, T, D)."""
    size, seen = tile.stop - tile.start, slice(0, tile.stop)
    rows = q[:, tile] * (1 / math.sqrt(q.shape[-1]))  # (h, R, D)
    scores = rows @ k[:, seen].swapaxes(-1, -2)  # (h, R, S)
    scores[..., tile] += hidden[:size, :size]
    scores -= scores.max(axis=-1, keepdims=True)
    weights = np.exp(scores, out=scores)  # (h, R, S): E
    recip[:, tile] = 1 / (weights @ np.ones(tile.stop, weights.dtype))[..., None]
    np.multiply(np.matmul(weights, v[:, seen], out=rows), recip[:, tile], out=out[:, tile])
    return weights


def attention_backward(dy, cache, *, team):
    """dqkv, tile by tile.

    With do the gradient at a head's output o, and dor = do * recip:

        dv      = E' @ dor
        dscores = E * (dor @ v' - sum(dor * o))    for sum(dprobs * probs) = sum(do * o), row by row
        dq      = dscores @ k / sqrt(D)
        dk      = dscores' @ q / sqrt(D)

    dy (B, T, C) -> dqkv (B, T, 3C)
    """
    qkv, y, recip, kept, n_head = cache
    B, T, _ = qkv.shape
    dqkv = np.empty_like(qkv)
    (q, k, v), (dq, dk, dv) = heads(qkv, 3, n_head), heads(dqkv, 3, n_head)
    (out,), (do,) = heads(y, 1, n_head), heads(dy, 1, n_head)
    units = units_of(B, n_head, T)

    def job(share):
        for i in range(share.start, share.stop):
            arrays = [array[units[i]] for array in (q, k, v, out, do, recip, dq, dk, dv)]
            # the last tile sees every key, so it writes dk and dv whole, and the earlier ones add
            for tile, weights in zip(reversed(tiles_of(T)), reversed(kept[i]), strict=True):
                tile_backward(*arrays, tile, weights)

    team.split(job, len(units))
    return dqkv


def tile_backward(q, k, v, out, do, recip, dq, dk, dv, tile, weights):
    """Write one tile's rows of dq and add its part of dk and dv. All of some heads (h, T, D)."""
    seen, last = slice(0, tile.stop), tile.stop == q.shape[1]
    scale = 1 / math.sqrt(q.shape[-1])
    dor = do[:, tile] * recip[:, tile]  # (h, R, D)
    put(dv[:, seen], weights.swapaxes(-1, -2) @ dor, last)
    dscores = dor @ v[:, seen].swapaxes(-1, -2)  # (h, R, S)
    dscores -= np.vecdot(dor, out[:, tile])[..., None]
    dscores *= weights
    np.multiply(dscores @ k[:, seen], scale, out=dq[:, tile])
    put(dk[:, seen], dscores.swapaxes(-1, -2) @ (q[:, tile] * scale), last)


def put(destination, value, first):
    """Write a value where nothing is yet, else add it."""
    if first:
        destination[...] = value
    else:
        destination += value


def heads(x, parts, n_head):
    """Arrays side by side in the last axis, each as heads. A view: BLAS takes rows with gaps between them.

    x (B, T, PC) -> heads (P, B, H, T, D)
    """
    B, T, width = x.shape
    return x.reshape(B, T, parts, n_head, width // parts // n_head).transpose(2, 0, 3, 1, 4)


def units_of(B, H, T):
    """(sequence, slice of heads) pairs, whose scores for one tile take about UNIT_BYTES each."""
    size = min(H, max(1, UNIT_BYTES // (4 * min(T, TILE) * T)))
    return [(b, slice(h, min(h + size, H))) for b in range(B) for h in range(0, H, size)]


def tiles_of(T):
    """Slices of TILE query rows."""
    return [slice(i, min(i + TILE, T)) for i in range(0, T, TILE)]
