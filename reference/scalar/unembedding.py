"""The output head, tied to the token table.

    logits[b][t][v] = sum over c of x[b][t][c] * wte[v][c]
"""

from reference.scalar.nested import shape, zeros


def unembedding_forward(x, wte):
    """x (B, T, C), wte (V, C) -> logits (B, T, V)"""
    (B, T, C), (V, _) = shape(x), shape(wte)
    logits = zeros(B, T, V)
    for b in range(B):
        for t in range(T):
            for v in range(V):
                logits[b][t][v] = sum(x[b][t][c] * wte[v][c] for c in range(C))
    return logits


def unembedding_backward(dlogits, x, wte):
    """Every product x * wte pays dlogits to each factor, times the other.

    dlogits (B, T, V) -> dx (B, T, C), dwte (V, C)
    """
    (B, T, C), (V, _) = shape(x), shape(wte)
    dx, dwte = zeros(B, T, C), zeros(V, C)
    for b in range(B):
        for t in range(T):
            for v in range(V):
                for c in range(C):
                    dx[b][t][c] += dlogits[b][t][v] * wte[v][c]
                    dwte[v][c] += dlogits[b][t][v] * x[b][t][c]
    return dx, dwte
