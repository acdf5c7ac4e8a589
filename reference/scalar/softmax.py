"""Softmax of one row.

    p[i] = exp(z[i]) / sum over j of exp(z[j])
"""

from reference.scalar.rounding import exp


def softmax(row):
    """row (n) -> probs (n)"""
    highest = max(row)  # cancels out of the quotient, and keeps exp from overflowing
    weights = [exp(z - highest) for z in row]
    total = sum(weights)
    return [weight / total for weight in weights]
