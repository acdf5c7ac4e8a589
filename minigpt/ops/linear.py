"""A linear layer: every row of x is mapped by the same matrix."""


def linear_forward(x, weight, bias):
    """y = x @ weight + bias, with the weight stored (in, out) as in openai/gpt-2.

    x (B, T, I), weight (I, O), bias (O) -> y (B, T, O)
    """
    rows = x.reshape(-1, x.shape[-1])  # (B*T, I): one large product instead of B small ones
    y = (rows @ weight + bias).reshape(*x.shape[:-1], -1)  # (B, T, O)
    return y, (x, weight)


def linear_backward(dy, cache):
    """Return dx, dweight, dbias for a loss whose gradient at y is dy.

    y[n, o] = sum_i x[n, i] * weight[i, o] + bias[o] gives, by the chain rule,

        dx[n, i]      = sum_o dy[n, o] * weight[i, o]    dx = dy @ weight'
        dweight[i, o] = sum_n x[n, i] * dy[n, o]         dweight = x' @ dy
        dbias[o]      = sum_n dy[n, o]

    dy (B, T, O) -> dx (B, T, I), dweight (I, O), dbias (O)
    """
    x, weight = cache
    rows = x.reshape(-1, x.shape[-1])  # (B*T, I)
    drows = dy.reshape(-1, dy.shape[-1])  # (B*T, O)
    dx = (drows @ weight.T).reshape(x.shape)  # (B, T, I)
    return dx, rows.T @ drows, drows.sum(axis=0)
