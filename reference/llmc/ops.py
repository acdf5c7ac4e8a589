"""The operations of train_gpt2.c, forward and backward. `a` says how sums and products round.

Each backward is the chain rule through the very values that its forward kept: where a layernorm keeps its
mean and its rstd, both are nodes with gradients of their own, and dx is what comes through all three ways.
"""

import numpy as np

EPS = 1e-5

# Encoder -----------------------------------------------------------------------------------------------


def encoder_forward(a, tokens, wte, wpe):
    """tokens (B, T), wte (V, C), wpe (N, C) -> encoded (B, T, C)"""
    return wte[tokens] + wpe[: tokens.shape[1]]


def encoder_backward(a, dencoded, tokens, wte, wpe):
    """dencoded (B, T, C), tokens (B, T), wte (V, C), wpe (N, C) -> dwte (V, C), dwpe (N, C)"""
    dwte, dwpe = np.zeros_like(wte), np.zeros_like(wpe)
    np.add.at(dwte, tokens.ravel(), dencoded.reshape(-1, dencoded.shape[-1]))
    dwpe[: tokens.shape[1]] = a.total(dencoded, axis=0)[0]
    return dwte, dwpe


# Layernorm ---------------------------------------------------------------------------------------------


def layernorm_mean(a, x):
    """x (B, T, C) -> mean (B, T)"""
    return a.total(x, axis=-1)[..., 0] / x.shape[-1]


def layernorm_rstd(a, x, mean):
    """x (B, T, C), mean (B, T) -> rstd (B, T)"""
    centred = x - mean[..., None]
    variance = a.total(centred * centred, axis=-1)[..., 0] / x.shape[-1]
    return 1 / np.sqrt(variance + EPS)


def layernorm_forward(a, x, mean, rstd, weight, bias):
    """x (B, T, C), mean (B, T), rstd (B, T), weight (C), bias (C) -> out (B, T, C)"""
    return (x - mean[..., None]) * rstd[..., None] * weight + bias


def layernorm_rstd_backward(a, drstd, x, mean, rstd):
    """What reaches x through the variance: drstd/dvar = -rstd^3 / 2, dvar/dx = 2 (x - mean) / C.

    drstd (B, T), x (B, T, C), mean (B, T), rstd (B, T) -> dx (B, T, C)
    """
    return (-drstd * rstd**3)[..., None] * (x - mean[..., None]) / x.shape[-1]


def layernorm_statistics_backward(a, dout, x, mean, rstd, weight):
    """dout (B, T, C), x (B, T, C), mean (B, T), rstd (B, T), weight (C) -> dmean (B, T), drstd (B, T)

    The variance does not depend on the mean at the mean: its slope there is 0.
    """
    dn = dout * weight
    return -rstd * a.total(dn, axis=-1)[..., 0], a.total(dn * (x - mean[..., None]), axis=-1)[..., 0]


def layernorm_parameters_backward(a, dout, x, mean, rstd):
    """dout (B, T, C), x (B, T, C), mean (B, T), rstd (B, T) -> dweight (C), dbias (C)"""
    n = (x - mean[..., None]) * rstd[..., None]
    rows = dout.reshape(-1, dout.shape[-1])
    return a.total((dout * n).reshape(rows.shape), axis=0)[0], a.total(rows, axis=0)[0]


def layernorm_input_backward(a, through_rstd, dout, dmean, rstd, weight):
    """The three ways to x, added up.

    through_rstd (B, T, C), dout (B, T, C), dmean (B, T), rstd (B, T), weight (C) -> dx (B, T, C)
    """
    return dout * weight * rstd[..., None] + dmean[..., None] / dout.shape[-1] + through_rstd


# Matrix products ---------------------------------------------------------------------------------------


def matmul_forward(a, x, weight, bias):
    """x (B, T, I), weight (O, I), bias (O) -> out (B, T, O)"""
    rows = x.reshape(-1, x.shape[-1])
    return (a.matmul(rows, weight.T) + bias).reshape(*x.shape[:-1], -1)


def matmul_backward(a, dout, x, weight):
    """dout (B, T, O), x (B, T, I), weight (O, I) -> dx (B, T, I), dweight (O, I), dbias (O)"""
    rows, drows = x.reshape(-1, x.shape[-1]), dout.reshape(-1, dout.shape[-1])
    return a.matmul(drows, weight).reshape(x.shape), a.matmul(drows.T, rows), a.total(drows, axis=0)[0]


# Attention ---------------------------------------------------------------------------------------------


def attention_split(qkv, n_head):
    """qkv (B, T, 3C) -> q, k, v (B, H, T, D)"""
    B, T, width = qkv.shape
    return qkv.reshape(B, T, 3, n_head, width // 3 // n_head).transpose(2, 0, 3, 1, 4)


def attention_merge(dq, dk, dv):
    """dq, dk, dv (B, H, T, D) -> dqkv (B, T, 3C)"""
    B, H, T, D = dq.shape
    return np.stack([dq, dk, dv]).transpose(1, 3, 0, 2, 4).reshape(B, T, 3 * H * D)


def attention_seen(T):
    """seen (T, S): which positions each looks at, itself and those before"""
    return np.tri(T, dtype=bool)


def attention_scale(C, n_head):
    """What scores are multiplied by: 1 / sqrt(D)."""
    return (C // n_head) ** -0.5


def attention_scores(a, q, k, seen, scale):
    """q, k (B, H, T, D), seen (T, S) -> preatt (B, H, T, S), 0 where nothing is seen"""
    return np.where(seen, a.matmul(q, k.swapaxes(-1, -2)) * scale, 0)


def attention_scores_backward(a, dpreatt, q, k, scale):
    """dpreatt (B, H, T, S), q, k (B, H, T, D) -> dq, dk (B, H, T, D)"""
    return a.matmul(dpreatt, k) * scale, a.matmul(dpreatt.swapaxes(-1, -2), q) * scale


def attention_softmax(a, preatt, seen):
    """preatt (B, H, T, S), seen (T, S) -> att (B, H, T, S), 0 where nothing is seen"""
    top = np.where(seen, preatt.real, -np.inf).max(axis=-1, keepdims=True)
    weights = np.where(seen, np.exp(np.where(seen, preatt - top, 0)), 0)
    return weights / a.total(weights, axis=-1)


def attention_softmax_backward(a, datt, att):
    """datt (B, H, T, S), att (B, H, T, S) -> dpreatt (B, H, T, S)"""
    return att * (datt - a.total(att * datt, axis=-1))


def attention_mix(a, att, v, seen):
    """att (B, H, T, S), v (B, H, T, D), seen (T, S) -> atty (B, T, C); what is not seen is not read"""
    B, H, T, D = v.shape
    return a.matmul(np.where(seen, att, 0), v).transpose(0, 2, 1, 3).reshape(B, T, H * D)


def attention_mix_backward(a, datty, att, v, seen):
    """datty (B, T, C), att (B, H, T, S), v (B, H, T, D) -> datt (B, H, T, S), dv (B, H, T, D)

    datt is 0 where nothing is seen, for att is not read there.
    """
    B, H, T, D = v.shape
    heads = datty.reshape(B, T, H, D).transpose(0, 2, 1, 3)
    return np.where(seen, a.matmul(heads, v.swapaxes(-1, -2)), 0), a.matmul(att.swapaxes(-1, -2), heads)


# Residual and GELU -------------------------------------------------------------------------------------


def residual_forward(stream, branch):
    """stream, branch (B, T, C) -> stream (B, T, C)"""
    return stream + branch


def attention_residual_backward(dout):
    """dout (B, T, C) -> dstream, dbranch (B, T, C)"""
    return dout, dout


def mlp_residual_backward(dout):
    """dout (B, T, C) -> dstream, dbranch (B, T, C)"""
    return dout, dout


def join(dstream, dnorm):
    """A stream's gradient: what comes past a branch, and what comes through the branch's layernorm."""
    return dstream + dnorm


SLOPE, CUBE = np.sqrt(2 / np.pi).item(), 0.044715


def gelu_forward(x):
    """x (B, T, F) -> out (B, T, F)"""
    return x * (0.5 + 0.5 * np.tanh(SLOPE * x * (1 + CUBE * x * x)))


def gelu_backward(dout, x):
    """With h = tanh(u): (1 + h)/2 + x (1 - h)(1 + h)/2 du/dx.

    dout (B, T, F), x (B, T, F) -> dx (B, T, F)
    """
    h = np.tanh(SLOPE * x * (1 + CUBE * x * x))
    du = SLOPE * (1 + 3 * CUBE * x * x)
    return dout * (0.5 * (1 + h) + 0.5 * x * (1 - h) * (1 + h) * du)


# Softmax, cross-entropy, mean --------------------------------------------------------------------------


def softmax_forward(a, logits):
    """logits (B, T, V) -> probs (B, T, V)"""
    weights = np.exp(logits - logits.real.max(axis=-1, keepdims=True))
    return weights / a.total(weights, axis=-1)


def labels(tokens, targets):
    """What each position should have predicted."""
    return targets


def crossentropy_forward(probs, targets):
    """-log of the target's probability; 0 where the target is -1.

    probs (B, T, V), targets (B, T) -> losses (B, T)
    """
    return np.where(targets < 0, 0, -np.log(at_targets(probs, targets)))


def probs_backward(dlosses, probs, targets):
    """dlosses (B, T), probs (B, T, V), targets (B, T) -> dprobs (B, T, V)"""
    return -hits(probs, targets) * (dlosses / at_targets(probs, targets))[..., None]


def crossentropy_softmax_backward(dlosses, probs, targets):
    """Both at once, so that nothing is divided by a small probability: dlosses * (probs - one-hot).

    dlosses (B, T), probs (B, T, V), targets (B, T) -> dlogits (B, T, V)
    """
    return dlosses[..., None] * (probs - hits(probs, targets))


def at_targets(probs, targets):
    """probs (B, T, V), targets (B, T) -> chosen (B, T), the target's entry; the first where it is -1"""
    return np.take_along_axis(probs, np.maximum(targets, 0)[..., None], axis=-1)[..., 0]


def hits(probs, targets):
    """probs (B, T, V), targets (B, T) -> hits (B, T, V), 1 at the target"""
    return (targets[..., None] == np.arange(probs.shape[-1])).astype(probs.real.dtype)


def mean_loss(a, losses, targets):
    """losses (B, T), targets (B, T) -> loss (): the mean over targets that are scored"""
    scored = np.where(targets < 0, 0, losses)
    return a.total(scored.reshape(1, -1), axis=-1)[0, 0] / np.count_nonzero(targets >= 0)


def mean_loss_backward(targets, dtype):
    """targets (B, T) -> dlosses (B, T): 1/(B T), or 1 over the number of scored targets and 0 elsewhere"""
    scored = targets >= 0
    return (scored / np.count_nonzero(scored)).astype(dtype)


# What becomes of a parameter and of its gradient -------------------------------------------------------


def weight(name, stored):
    """A matrix as it is multiplied with: as it is stored."""
    return stored


def tie(dwte_head, dwte_encoder):
    """The token table is read twice; its gradient is the sum of both."""
    return dwte_head + dwte_encoder


def parameter_gradient(name, gradient):
    """A parameter's gradient, once it is complete."""
    return gradient
