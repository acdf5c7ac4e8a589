"""Gaussian error linear unit, tanh form.

    y = x/2 * (1 + tanh(u))        u = sqrt(2/pi) * (x + 0.044715 * x^3)
"""

import math

from reference.scalar.nested import each, shape, zeros
from reference.scalar.rounding import tanh

SLOPE = math.sqrt(2 / math.pi)


def gelu_forward(x):
    """x (B, T, C) -> y (B, T, C)"""
    return each(lambda x: x / 2 * (1 + tanh(inner(x))), x)


def gelu_backward(dy, x):
    """dy (B, T, C) -> dx (B, T, C)"""
    B, T, C = shape(x)
    dx = zeros(B, T, C)
    for b in range(B):
        for t in range(T):
            for c in range(C):
                dx[b][t][c] = dy[b][t][c] * slope(x[b][t][c])
    return dx


def inner(x):
    """u"""
    return SLOPE * (x + 0.044715 * x * x * x)


def slope(x):
    """dy/dx, by the product rule; the derivative of tanh(u) is (1 - tanh(u)^2) * du/dx."""
    squash = tanh(inner(x))
    dinner = SLOPE * (1 + 3 * 0.044715 * x * x)
    return (1 + squash) / 2 + x / 2 * (1 - squash * squash) * dinner
