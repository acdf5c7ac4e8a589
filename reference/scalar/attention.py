"""Causal multi-head self-attention. A row of qkv holds the queries, then the keys, then the values of all
heads; head h owns channels h*D to (h+1)*D of each.

    scores[t][s] = sum over d of q[t][d] * k[s][d], divided by sqrt(D), for s <= t only
    probs[t]     = softmax(scores[t])
    y[t][d]      = sum over s of probs[t][s] * v[s][d]
"""

import math

from reference.scalar.nested import shape, zeros
from reference.scalar.softmax import softmax


def attention_forward(qkv, n_head):
    """qkv (B, T, 3C) -> y (B, T, C)"""
    B, T, width = shape(qkv)
    C, D = width // 3, width // 3 // n_head
    y = zeros(B, T, C)
    for b in range(B):
        for h in range(n_head):
            q, k, v = (heads(qkv[b], part * C + h * D, D) for part in range(3))
            for t in range(T):
                probs = attend(q, k, t)
                for d in range(D):
                    y[b][t][h * D + d] = sum(probs[s] * v[s][d] for s in range(t + 1))
    return y


def attention_backward(dy, qkv, n_head):
    """Every head's query at t pays to its own channels, and to the keys and values it has seen.

    dy (B, T, C) -> dqkv (B, T, 3C)
    """
    B, T, width = shape(qkv)
    C, D = width // 3, width // 3 // n_head
    dqkv = zeros(B, T, width)
    for b in range(B):
        for h in range(n_head):
            q, k, v = (part * C + h * D for part in range(3))  # where each begins in a row
            rows = [heads(qkv[b], start, D) for start in (q, k, v)]
            for t in range(T):
                dout = dy[b][t][h * D : (h + 1) * D]
                dq, dk, dv = attend_backward(dout, *rows, t)
                for d in range(D):
                    dqkv[b][t][q + d] += dq[d]
                    for s in range(t + 1):
                        dqkv[b][s][k + d] += dk[s][d]
                        dqkv[b][s][v + d] += dv[s][d]
    return dqkv


def attend(q, k, t):
    """What position t makes of itself and each position before it: q (T, D), k (T, D) -> probs (t + 1)"""
    D = len(q[t])
    return softmax([sum(q[t][d] * k[s][d] for d in range(D)) / math.sqrt(D) for s in range(t + 1)])


def attend_backward(dout, q, k, v, t):
    """One query's part of the gradient. A score moves all probabilities of its row:

        dprobs[r]/dscores[s] = probs[r] * ([r = s] - probs[s])

    dout (D), q (T, D), k (T, D), v (T, D) -> dq (D), dk (t + 1, D), dv (t + 1, D)
    """
    D, seen = len(dout), range(t + 1)
    probs = attend(q, k, t)
    dq, dk, dv = zeros(D), zeros(t + 1, D), zeros(t + 1, D)
    dprobs = [sum(dout[d] * v[s][d] for d in range(D)) for s in seen]
    for s in seen:
        dscore = dprobs[s] * probs[s] - sum(dprobs[r] * probs[r] * probs[s] for r in seen)
        for d in range(D):
            dv[s][d] = probs[s] * dout[d]
            dk[s][d] = dscore * q[t][d] / math.sqrt(D)
            dq[d] += dscore * k[s][d] / math.sqrt(D)
    return dq, dk, dv


def heads(rows, start, D):
    """The D channels from start on of every position: rows (T, 3C) -> (T, D)"""
    return [row[start : start + D] for row in rows]
