"""Cross-entropy: how surprised the model is by the tokens that really came next."""

import numpy as np

IGNORED = -1  # a target that is not scored


def cross_entropy_forward(logits, targets):
    """loss = mean over scored targets of -log softmax(logits)[target], in nats a token.

    A model that knows nothing scores log V; each nat less is a guess e times better.

    logits (B, T, V), targets (B, T) -> loss ()
    """
    # the real part: the shift is a constant, so that complex-step derivatives pass through
    shifted = logits - logits.real.max(axis=-1, keepdims=True)  # (B, T, V): exp cannot overflow
    weights = np.exp(shifted)  # (B, T, V)
    totals = weights.sum(axis=-1, keepdims=True)  # (B, T, 1)

    scored = (targets != IGNORED).astype(logits.real.dtype)  # (B, T): 1 or 0
    share = scored / scored.sum()  # (B, T): what each position weighs in the mean
    places = np.where(targets == IGNORED, 0, targets)[..., None]  # (B, T, 1)
    chosen = np.take_along_axis(shifted, places, axis=-1)  # (B, T, 1)
    nll = (np.log(totals) - chosen)[..., 0]  # (B, T): negative log-likelihood
    return (share * nll).sum(), (weights / totals, places, share)


def cross_entropy_backward(dloss, cache):
    """Return dlogits for an objective whose gradient at the loss is dloss.

    -log p[target] = log(sum_j exp(z_j)) - z_target, and the derivative of the first term
    by z_j is p_j, so each position pulls its own token up and all others down:

        dlogits_j = dloss * share * (p_j - [j = target])

    dloss () -> dlogits (B, T, V)
    """
    probs, places, share = cache
    hit = places == np.arange(probs.shape[-1], like=places)  # (B, T, V): one-hot targets
    return (dloss * share)[..., None] * (probs - hit)  # (B, T, V)
