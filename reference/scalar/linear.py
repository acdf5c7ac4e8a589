"""A linear layer.

    y[b][t][o] = sum over i of x[b][t][i] * weight[i][o], plus bias[o]
"""

from reference.scalar.nested import shape, zeros


def linear_forward(x, weight, bias):
    """x (B, T, I), weight (I, O), bias (O) -> y (B, T, O)"""
    (B, T, inputs), (_, outputs) = shape(x), shape(weight)
    y = zeros(B, T, outputs)
    for b in range(B):
        for t in range(T):
            for o in range(outputs):
                y[b][t][o] = sum(x[b][t][i] * weight[i][o] for i in range(inputs)) + bias[o]
    return y


def linear_backward(dy, x, weight, bias):
    """Every product x * weight pays dy to each factor, times the other.

    dy (B, T, O) -> dx (B, T, I), dweight (I, O), dbias (O)
    """
    (B, T, inputs), (_, outputs) = shape(x), shape(weight)
    dx, dweight, dbias = zeros(B, T, inputs), zeros(inputs, outputs), zeros(outputs)
    for b in range(B):
        for t in range(T):
            for o in range(outputs):
                dbias[o] += dy[b][t][o]
                for i in range(inputs):
                    dx[b][t][i] += dy[b][t][o] * weight[i][o]
                    dweight[i][o] += dy[b][t][o] * x[b][t][i]
    return dx, dweight, dbias
