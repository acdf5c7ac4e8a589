"""Token and position embedding.

    x[b][t][c] = wte[tokens[b][t]][c] + wpe[t][c]
"""

from reference.scalar.nested import shape, zeros


def embedding_forward(tokens, wte, wpe):
    """tokens (B, T), wte (V, C), wpe (N, C) -> x (B, T, C)"""
    (B, T), (_, C) = shape(tokens), shape(wte)
    x = zeros(B, T, C)
    for b in range(B):
        for t in range(T):
            for c in range(C):
                x[b][t][c] = wte[tokens[b][t]][c] + wpe[t][c]
    return x


def embedding_backward(dx, tokens, wte, wpe):
    """Each x[b][t] pays its gradient to the two rows it was made of.

    dx (B, T, C) -> dwte (V, C), dwpe (N, C)
    """
    B, T, C = shape(dx)
    dwte, dwpe = zeros(*shape(wte)), zeros(*shape(wpe))
    for b in range(B):
        for t in range(T):
            for c in range(C):
                dwte[tokens[b][t]][c] += dx[b][t][c]
                dwpe[t][c] += dx[b][t][c]
    return dwte, dwpe
