"""Token and position embedding: two tables, one lookup each (Radford et al. 2019, GPT-2)."""

import numpy as np


def embedding_forward(tokens, wte, wpe):
    """x[b, t] = wte[tokens[b, t]] + wpe[t]: what the token is, plus where it stands.

    tokens (B, T), wte (V, C), wpe (N, C) -> x (B, T, C)
    """
    x = wte[tokens] + wpe[: tokens.shape[1]]  # (B, T, C)
    return x, (tokens, wte, wpe)


def embedding_backward(dx, cache):
    """Return dwte, dwpe for a loss whose gradient at x is dx.

    A lookup multiplies by a one-hot vector, so the gradient of a row is the sum of dx over
    all places where that row was looked up:

        dwte[v] = sum of dx[b, t] over every (b, t) with tokens[b, t] = v
        dwpe[t] = sum of dx[b, t] over b

    Rows that were never looked up, positions from T on among them, receive exactly zero.

    dx (B, T, C) -> dwte (V, C), dwpe (N, C)
    """
    tokens, wte, wpe = cache
    dwte = np.zeros_like(wte)  # (V, C)
    np.add.at(dwte, tokens, dx)  # a token that occurs twice receives both its gradients
    unused = wpe.shape[0] - tokens.shape[1]
    dwpe = np.pad(dx.sum(axis=0), ((0, unused), (0, 0)))  # (N, C)
    return dwte, dwpe
