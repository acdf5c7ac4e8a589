"""Cross-entropy: the mean surprise over the positions whose target is not -1, in nats.

    loss = mean of -log softmax(logits[b][t])[target]
"""

from reference.scalar.nested import shape, zeros
from reference.scalar.rounding import exp, log
from reference.scalar.softmax import softmax


def cross_entropy_forward(logits, targets):
    """logits (B, T, V), targets (B, T) -> loss ()"""
    losses = [surprise(logits[b][t], targets[b][t]) for b, t in scored(targets)]
    return sum(losses) / len(losses)


def cross_entropy_backward(dloss, logits, targets):
    """dloss () -> dlogits (B, T, V)"""
    B, T, V = shape(logits)
    dlogits = zeros(B, T, V)
    places = scored(targets)
    for b, t in places:
        probs = softmax(logits[b][t])
        for v in range(V):
            dlogits[b][t][v] = dloss / len(places) * (probs[v] - (v == targets[b][t]))
    return dlogits


def surprise(row, target):
    """-log softmax(row)[target], where the highest logit is taken out first: it cancels.

    row (V) -> nats ()
    """
    highest = max(row)
    return log(sum(exp(z - highest) for z in row)) - (row[target] - highest)


def scored(targets):
    """The places (b, t) that count: all but those whose target is -1."""
    return [(b, t) for b, row in enumerate(targets) for t, target in enumerate(row) if target != -1]
