"""Layer normalisation over channels (Ba et al. 2016, arXiv:1607.06450)."""

EPS = 1e-5  # openai/gpt-2, src/model.py, norm()


def layernorm_forward(x, gain, bias):
    """y = gain * n + bias, where n is x shifted and scaled to mean 0, variance 1.

    x (B, T, C), gain (C), bias (C) -> y (B, T, C)
    """
    centred = x - x.mean(axis=-1, keepdims=True)  # (B, T, C)
    variance = (centred * centred).mean(axis=-1, keepdims=True)  # (B, T, 1)
    rstd = 1 / (variance + EPS) ** 0.5  # (B, T, 1)
    n = centred * rstd  # (B, T, C)
    return gain * n + bias, (n, rstd, gain)


def layernorm_backward(dy, cache):
    """Return dx, dgain, dbias for a loss whose gradient at y is dy.

    With dn = gain * dy, nudging x_j moves n_j by rstd, every n_i by -rstd / C
    (through the mean) and every n_i by -rstd * n_i * n_j / C (through the variance):

        dn_i/dx_j = rstd * (delta_ij - 1/C - n_i * n_j / C)
        dx        = rstd * (dn - mean(dn) - n * mean(n * dn))

    so dx is dn with its parts along 1 and along n removed: shifts and rescalings
    of x, which layernorm erases, receive no gradient.

    dy (B, T, C) -> dx (B, T, C), dgain (C), dbias (C)
    """
    n, rstd, gain = cache
    dn = gain * dy  # (B, T, C)
    shift = dn.mean(axis=-1, keepdims=True)  # (B, T, 1)
    scale = (n * dn).mean(axis=-1, keepdims=True)  # (B, T, 1)
    dx = rstd * (dn - shift - n * scale)  # (B, T, C)
    return dx, (n * dy).sum(axis=(0, 1)), dy.sum(axis=(0, 1))
