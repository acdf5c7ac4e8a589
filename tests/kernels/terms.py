"""Sums of |terms|: how large the numbers are that each operation adds up, per element of its result.

A result that is a sum of n rounded terms, in whatever order, is off by at most n * u * sum of |terms|
(Higham 2002, section 4.2), u the unit roundoff. Where terms are themselves computed (a softmax of
scores), their own relative error is what their arguments' absolute error was, and adds to the factor.
Each function takes float64 arguments as the operation does, and returns (n, (terms of each result...)).
"""

import math

import numpy as np

from minigpt import ops
from minigpt.ops.gelu import CUBIC, SLOPE


def flat(x):
    return np.abs(x).reshape(-1, x.shape[-1])


def linear_forward(x, weight, bias):
    y = np.abs(x) @ np.abs(weight) + np.abs(bias)
    return len(weight) + 1, (y,)


def linear_backward(dy, x, weight, bias):
    dx = np.abs(dy) @ np.abs(weight).T
    return max(dy.shape[-1], flat(x).shape[0]), (dx, flat(x).T @ flat(dy), flat(dy).sum(axis=0))


def unembedding_forward(x, wte):
    return x.shape[-1], (np.abs(x) @ np.abs(wte).T,)


def unembedding_backward(dlogits, x, wte):
    return max(dlogits.shape[-1], flat(x).shape[0]), (
        np.abs(dlogits) @ np.abs(wte),
        flat(dlogits).T @ flat(x),
    )


def embedding_backward(dx, tokens, wte, wpe):
    grads = ops.embedding_backward(np.abs(dx), (tokens, wte, wpe))
    return tokens.size, grads


def layernorm_parts(x, gain):
    """|x - mean| as a sum of |terms|, and how much a relative error in it moves n (through rstd)."""
    centred = np.abs(x) + np.abs(x).mean(axis=-1, keepdims=True)
    _, (n, rstd, _) = ops.layernorm_forward(x, gain, gain)
    size = centred * rstd  # of n's terms
    spread = (np.abs(n) * size).mean(axis=-1, keepdims=True)  # of the variance's, relative to it
    return n, rstd, size + np.abs(n) * spread


def layernorm_forward(x, gain, bias):
    _, _, size = layernorm_parts(x, gain)
    return x.shape[-1] + 5, (np.abs(gain) * size + np.abs(bias),)


def layernorm_backward(dy, x, gain, bias):
    n, rstd, size = layernorm_parts(x, gain)
    dn = np.abs(gain * dy)
    means = dn.mean(axis=-1, keepdims=True) + 3 * size * (size * dn).mean(axis=-1, keepdims=True)
    dx = rstd * (dn + means) * (1 + (np.abs(n) * size).mean(axis=-1, keepdims=True))
    return max(x.shape[-1], flat(x).shape[0]) + 8, (
        dx,
        (size * np.abs(dy)).sum((0, 1)),
        np.abs(dy).sum((0, 1)),
    )


def gelu_forward(x):
    s = np.tanh(SLOPE * (x + CUBIC * x**3))
    u = SLOPE * (np.abs(x) + CUBIC * np.abs(x) ** 3)
    return 8, (np.abs(x) * (1 + (1 - s * s) * u),)


def gelu_backward(dy, x):
    s = np.tanh(SLOPE * (x + CUBIC * x**3))
    u = SLOPE * (np.abs(x) + CUBIC * np.abs(x) ** 3)
    inner = SLOPE * (1 + 3 * CUBIC * x * x)
    # 1 - s cancels: its absolute error is that of s, which is (1 - s^2) times that of u
    slope = 1 + np.abs(x) * inner * (2 + 2 * (1 - s * s) * u)
    return 12, (np.abs(dy) * slope,)


def heads(x, parts, n_head):
    B, T, width = x.shape
    return x.reshape(B, T, parts, n_head, width // parts // n_head).transpose(2, 0, 3, 1, 4)


def attention_parts(qkv, n_head):
    """probs, |q|, |k|, |v| by head, and 1 + the largest |score| terms of each row."""
    _, (_, _, _, probs) = ops.attention_forward(qkv, n_head)
    q, k, v = np.abs(heads(qkv, 3, n_head))
    scores = (q @ k.swapaxes(-1, -2)) / math.sqrt(q.shape[-1]) * np.tri(probs.shape[-1])
    return probs, q, k, v, 1 + 2 * scores.max(axis=-1, keepdims=True)


def attention_forward(qkv, n_head):
    probs, q, _, v, growth = attention_parts(qkv, n_head)
    out = (growth * probs) @ v
    y = out.transpose(0, 2, 1, 3).reshape(*qkv.shape[:2], -1)
    return qkv.shape[1] + q.shape[-1] + 5, (y,)


def attention_backward(dy, qkv, n_head):
    probs, q, k, v, growth = attention_parts(qkv, n_head)
    (do,) = np.abs(heads(dy, 1, n_head))
    dprobs = do @ v.swapaxes(-1, -2)
    dscores = growth * probs * (dprobs + 2 * growth * (dprobs * probs).sum(axis=-1, keepdims=True))
    scale = 1 / math.sqrt(q.shape[-1])
    grads = scale * dscores @ k, scale * dscores.swapaxes(-1, -2) @ q, (growth * probs).swapaxes(-1, -2) @ do
    dqkv = np.concatenate([g.transpose(0, 2, 1, 3).reshape(dy.shape) for g in grads], axis=-1)
    return 2 * qkv.shape[1] + 2 * q.shape[-1] + 10, (dqkv,)


def cross_entropy_parts(logits, targets):
    _, (probs, places, share) = ops.cross_entropy_forward(logits, targets)
    largest = np.abs(logits).max(axis=-1, keepdims=True)
    return probs, places, share, 2 * largest


def cross_entropy_forward(logits, targets):
    _, _, share, spread = cross_entropy_parts(logits, targets)
    V = logits.shape[-1]
    return V + targets.size, ((share * (math.log(V) + 1 + 2 * spread[..., 0])).sum(),)


def cross_entropy_backward(dloss, logits, targets):
    probs, places, share, spread = cross_entropy_parts(logits, targets)
    hit = places == np.arange(logits.shape[-1])
    return logits.shape[-1] + 6, (np.abs(dloss * share)[..., None] * (probs * (1 + spread) + hit),)


def global_norm(grads):
    return grads.size, (np.sqrt((grads * grads).sum()),)


def adamw(params, grads, first, second, *, step, scale, n_decayed, lr, betas, eps, weight_decay):
    (beta1, beta2), g = betas, scale * grads
    new_first = np.abs(beta1 * first) + np.abs((1 - beta1) * g)
    new_second = np.abs(beta2 * second) + (1 - beta2) * g * g
    # dividing by the root makes the update's size depend on first's terms alone, however they cancel
    root = np.sqrt(new_second / (1 - beta2**step)) + eps
    new_params = np.abs(params) * (1 + lr * weight_decay) + lr * new_first / (1 - beta1**step) / root
    return 16, (new_params, new_first, new_second)
