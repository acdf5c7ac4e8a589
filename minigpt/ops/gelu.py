"""Gaussian error linear unit, in GPT-2's tanh form (Hendrycks & Gimpel 2016, arXiv:1606.08415)."""

import math

import numpy as np

SLOPE = math.sqrt(2 / math.pi)  # makes tanh's slope at 0 that of erf(x / sqrt(2))
CUBIC = 0.044715  # fitted so that the tanh form stays within 1e-3 of x * Phi(x)


def gelu_forward(x):
    """y = x/2 * (1 + tanh(SLOPE * (x + CUBIC * x^3))): x itself far right, 0 far left, smooth between.

    x (B, T, F) -> y (B, T, F)
    """
    squash = np.tanh(SLOPE * (x + CUBIC * x * x * x))  # (B, T, F)
    return 0.5 * x * (1 + squash), (x, squash)


def gelu_backward(dy, cache):
    """Return dx for a loss whose gradient at y is dy.

    With u = SLOPE * (x + CUBIC * x^3) and s = tanh(u), whose derivative is 1 - s^2,

        du/dx = SLOPE * (1 + 3 * CUBIC * x^2)
        dy/dx = (1 + s)/2 + x/2 * (1 - s^2) * du/dx

    dy (B, T, F) -> dx (B, T, F)
    """
    x, squash = cache
    inner = SLOPE * (1 + 3 * CUBIC * x * x)  # (B, T, F)
    slope = 0.5 * (1 + squash) + 0.5 * x * (1 - squash * squash) * inner  # (B, T, F)
    return dy * slope
