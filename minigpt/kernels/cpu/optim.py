"""AdamW and the gradient's norm in blocks that stay in cache. Reference: optim.py."""

import math

import numpy as np


def global_norm(grads, *, team):
    """sqrt(sum of g^2): one dot product a block, the blocks' sums added in double precision.

    grads (P) -> norm ()
    """
    squares = team.split(lambda block: np.dot(grads[block], grads[block]), grads.size, 1)
    return grads.dtype.type(math.sqrt(math.fsum(squares)))


def adamw(params, grads, first, second, *, step, scale, n_decayed, lr, betas, eps, weight_decay, team):
    """AdamW. params, first and second are donated: the result is written over them.

    With c1 = 1 - beta1^step and c2 = 1 - beta2^step, both bias corrections move into two numbers:
    mean / (sqrt(square) + eps) = first / (sqrt(second) + eps * sqrt(c2)) * sqrt(c2) / c1.

    params (P), grads (P), first (P), second (P) -> params (P), first (P), second (P)
    """
    beta1, beta2 = betas
    correction = math.sqrt(1 - beta2**step)
    rate = lr * correction / (1 - beta1**step)
    scale = float(scale)

    def update(block):
        p, m, v = params[block], first[block], second[block]
        work = np.multiply(grads[block], scale * (1 - beta1))  # (1 - beta1) * g
        m *= beta1
        m += work
        work *= work
        work *= (1 - beta2) / (1 - beta1) ** 2  # (1 - beta2) * g^2
        v *= beta2
        v += work
        np.sqrt(v, out=work)
        work += eps * correction
        np.divide(m, work, out=work)
        work *= rate
        decayed = p[: max(0, n_decayed - block.start)]
        decayed *= 1 - lr * weight_decay
        p -= work

    team.split(update, params.size, 1)
    return params, first, second
