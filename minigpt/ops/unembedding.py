"""The output head: the token table read the other way (Press & Wolf 2017, arXiv:1608.05859)."""


def unembedding_forward(x, wte):
    """logits[b, t, v] = x[b, t] . wte[v]: how well each token's embedding fits what follows.

    x (B, T, C), wte (V, C) -> logits (B, T, V)
    """
    rows = x.reshape(-1, x.shape[-1])  # (B*T, C)
    logits = (rows @ wte.T).reshape(*x.shape[:-1], -1)  # (B, T, V)
    return logits, (x, wte)


def unembedding_backward(dlogits, cache):
    """Return dx, dwte for a loss whose gradient at the logits is dlogits.

    A linear layer whose weight is wte' and which has no bias:

        dx   = dlogits @ wte
        dwte = dlogits' @ x

    dlogits (B, T, V) -> dx (B, T, C), dwte (V, C)
    """
    x, wte = cache
    rows = x.reshape(-1, x.shape[-1])  # (B*T, C)
    drows = dlogits.reshape(-1, dlogits.shape[-1])  # (B*T, V)
    dx = (drows @ wte).reshape(x.shape)  # (B, T, C)
    return dx, drows.T @ rows
