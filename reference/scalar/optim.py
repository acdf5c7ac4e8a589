"""The length of a gradient, clipping, and AdamW for one parameter."""

from reference.scalar.rounding import sqrt


def global_norm(grads):
    """sqrt(sum of g^2): grads (P) -> norm ()"""
    return sqrt(sum(g * g for g in grads))


def clip_scale(norm, clip):
    """What shortens a gradient of this norm to clip; 1 if it is short enough, or clip is None."""
    return 1.0 if clip is None else min(1.0, clip / (norm + 1e-6))


def adamw(param, grad, first, second, *, step, scale, lr, betas, eps, weight_decay):
    """One parameter's update; step counts from 1. Return the new param, first and second.

    first and second are running means of g and g^2 that began at 0, so they are too small by
    the factor 1 - beta^step. The decay acts on the parameter itself and not through the means.
    """
    beta1, beta2 = betas
    g = scale * grad
    first = beta1 * first + (1 - beta1) * g
    second = beta2 * second + (1 - beta2) * g * g
    mean = first / (1 - beta1**step)
    square = second / (1 - beta2**step)
    return param - lr * (mean / (sqrt(square) + eps) + weight_decay * param), first, second
