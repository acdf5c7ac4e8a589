"""PAGE 6. From gradients to new parameters: clipping, AdamW, and the learning rate's course."""

import math

import numpy as np


def global_norm(grads):
    """The length of the whole gradient, seen as one vector: sqrt(sum of g^2).

    grads (P) -> norm ()
    """
    return (grads * grads).sum() ** 0.5


def clip_scale(norm, clip):
    """What to multiply the gradient by so that its norm is at most clip; clip=None never shortens it.

    min(1, clip / (norm + 1e-6)), as torch.nn.utils.clip_grad_norm_ (Pascanu et al. 2012, arXiv:1211.5063).

    norm () -> scale ()
    """
    return 1.0 if clip is None else np.minimum(1.0, clip / (norm + 1e-6))


def adamw(params, grads, first, second, *, step, scale, n_decayed, lr, betas, eps, weight_decay):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2017, arXiv:1711.05101); step counts from 1.

        g      = scale * grads
        first  = beta1 * first  + (1 - beta1) * g        running mean of the gradient
        second = beta2 * second + (1 - beta2) * g^2      running mean of its square
        mean   = first  / (1 - beta1^step)               both began at 0: undo that bias
        square = second / (1 - beta2^step)
        params = params - lr * (mean / (sqrt(square) + eps) + weight_decay * params)

    Only the first n_decayed parameters decay: the matrices; gains and biases do not.

    params (P), grads (P), first (P), second (P) -> params (P), first (P), second (P)
    """
    beta1, beta2 = betas
    g = scale * grads  # (P)
    first = beta1 * first + (1 - beta1) * g  # (P)
    second = beta2 * second + (1 - beta2) * g * g  # (P)
    mean = first / (1 - beta1**step)  # (P)
    square = second / (1 - beta2**step)  # (P)
    decays = np.arange(params.size, like=params) < n_decayed  # (P)
    decay = np.where(decays, weight_decay * params, 0.0)  # (P)
    return params - lr * (mean / (square**0.5 + eps) + decay), first, second


def learning_rate(step, optimizer):
    """The learning rate of a step, counted from 0: a straight climb to lr, then down to final * lr.

    Warmup as in llm.c: the first step already has lr / warmup, and step `warmup` the full lr.
    """
    if step < optimizer.warmup:
        return optimizer.lr * (step + 1) / optimizer.warmup
    height = SHAPES[optimizer.schedule](step, optimizer.warmup, optimizer.steps)  # from 1 down to 0
    return optimizer.lr * (optimizer.final + (1 - optimizer.final) * height)


def cosine(step, warmup, steps):
    """Half a cosine wave from 1 to 0 (Loshchilov & Hutter 2016, arXiv:1608.03983)."""
    return (1 + math.cos(math.pi * progress(step, warmup, steps))) / 2


def linear(step, warmup, steps):
    """A straight line from 1 to 0."""
    return 1 - progress(step, warmup, steps)


def constant(step, warmup, steps):
    """1 throughout."""
    return 1.0


def wsd(step, warmup, steps):
    """Warmup, stable, decay: 1 up to the last fifth, then 1 - sqrt (Hägele et al. 2024, arXiv:2405.18392)."""
    return 1 - progress(step, 4 * steps // 5, steps) ** 0.5  # llm.c, schedulers.h


def progress(step, start, stop):
    """How far a step is on the way from start to stop: 0 before it, 1 after it."""
    if step >= stop:
        return 1.0
    return max(0.0, (step - start) / (stop - start))


SHAPES = {"cosine": cosine, "linear": linear, "constant": constant, "wsd": wsd}
