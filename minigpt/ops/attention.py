"""Causal multi-head self-attention (Vaswani et al. 2017, arXiv:1706.03762)."""

import math

import numpy as np


def attention_forward(qkv, n_head):
    """Each position averages the values of itself and those before it, weighted by softmax(q . k / sqrt(D)).

    qkv holds queries, keys and values side by side; head h owns channels h*D to (h+1)*D of each.

    qkv (B, T, 3C) -> y (B, T, C)
    """
    q, k, v = (split_heads(x, n_head) for x in np.split(qkv, 3, axis=-1))  # (B, H, T, D) each
    scores = (q @ k.swapaxes(-1, -2)) / math.sqrt(q.shape[-1])  # (B, H, T, T)
    seen = np.tri(scores.shape[-1], dtype=bool, like=qkv)  # (T, T): position t sees s <= t
    probs = softmax(np.where(seen, scores, -math.inf))  # (B, H, T, T)
    y = merge_heads(probs @ v)  # (B, T, C)
    return y, (q, k, v, probs)


def attention_backward(dy, cache):
    """Return dqkv for a loss whose gradient at y is dy.

    Per head, y = probs @ v is linear in both, and a softmax p of scores s has
    dp_i/ds_j = p_i * (delta_ij - p_j). With do the gradient at a head's output:

        dv      = probs' @ do
        dprobs  = do @ v'
        dscores = probs * (dprobs - sum(dprobs * probs))    summed over each row
        dq      = dscores @ k / sqrt(D)
        dk      = dscores' @ q / sqrt(D)

    A masked score has probs = 0 and so receives exactly nothing.

    dy (B, T, C) -> dqkv (B, T, 3C)
    """
    q, k, v, probs = cache
    n_head, scale = q.shape[1], 1 / math.sqrt(q.shape[-1])
    do = split_heads(dy, n_head)  # (B, H, T, D)
    dv = probs.swapaxes(-1, -2) @ do  # (B, H, T, D)
    dprobs = do @ v.swapaxes(-1, -2)  # (B, H, T, T)
    dscores = probs * (dprobs - (dprobs * probs).sum(axis=-1, keepdims=True))  # (B, H, T, T)
    dq = scale * (dscores @ k)  # (B, H, T, D)
    dk = scale * (dscores.swapaxes(-1, -2) @ q)  # (B, H, T, D)
    return np.concatenate([merge_heads(dq), merge_heads(dk), merge_heads(dv)], axis=-1)  # (B, T, 3C)


def softmax(scores):
    """exp(scores), shifted by each row's maximum so that it cannot overflow, divided by the row's sum.

    scores (..., T) -> probs (..., T)
    """
    # the real part: the shift is a constant, so that complex-step derivatives pass through
    weights = np.exp(scores - scores.real.max(axis=-1, keepdims=True))  # (..., T)
    return weights / weights.sum(axis=-1, keepdims=True)


def split_heads(x, n_head):
    """Cut the channels into heads of D = C / H.

    x (B, T, C) -> heads (B, H, T, D)
    """
    B, T, C = x.shape
    return x.reshape(B, T, n_head, C // n_head).transpose(0, 2, 1, 3)


def merge_heads(heads):
    """Heads back to channels, each head's beside the one before.

    heads (B, H, T, D) -> x (B, T, C)
    """
    B, H, T, D = heads.shape
    return heads.transpose(0, 2, 1, 3).reshape(B, T, H * D)
