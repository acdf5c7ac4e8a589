"""Means that are sums, targets that are not, and micro-batches that are added up wrongly."""

import numpy as np

from reference.diff.faults.fault import Fault
from reference.llmc import ops


def scaled_mean(k):
    """(loss, its gradient) k times too large."""
    return (lambda a, losses, targets: k * ops.mean_loss(a, losses, targets),
            lambda targets, dtype: k * ops.mean_loss_backward(targets, dtype))  # fmt: skip


def loss_faults(targets):
    first, scored = ("loss", "dlosses", "dlogits"), int(np.count_nonzero(targets >= 0))
    loss, gradient = scaled_mean(scored)
    if scored > 1:
        yield Fault("sum", "the loss is the sum over tokens; it should be the mean", first,
                    {"mean_loss": loss, "mean_loss_backward": gradient})  # fmt: skip
        yield Fault("sum-backward", "the loss is the mean, but gradients are of the sum over tokens",
                    first[1:], {"mean_loss_backward": gradient})  # fmt: skip
    if scored < targets.size:
        loss, gradient = scaled_mean(scored / targets.size)
        yield Fault("mean-over-all", "the mean counts the targets that are not scored", first,
                    {"mean_loss": loss, "mean_loss_backward": gradient})  # fmt: skip
    yield Fault("targets-not-shifted", "the targets are the tokens themselves, not the ones that follow",
                ("losses", *first), {"labels": lambda tokens, targets: tokens})  # fmt: skip
    yield Fault("padding-in-softmax", "softmax runs over the padded vocabulary too", ("probs", "losses"),
                {"softmax_forward": softmax_with_padding})  # fmt: skip


def softmax_with_padding(a, logits):
    """The padding's logits are 0, and count."""
    V = logits.shape[-1]
    padded = np.concatenate([logits, np.zeros_like(logits, shape=(*logits.shape[:-1], -V % 128))], axis=-1)
    return ops.softmax_forward(a, padded)[..., :V]


def accumulation_faults(B):
    for k in range(2, B + 1):
        if B % k:
            continue
        loss, gradient = scaled_mean(k)
        name, says = f"accumulated-{k}", f"gradients of {k} micro-batches are added up and not divided by {k}"
        yield Fault(name, says, ("dlosses", "dlogits"), {"mean_loss_backward": gradient})
        yield Fault(f"{name}-loss", f"{says}, nor are their losses", ("loss", "dlosses", "dlogits"),
                    {"mean_loss": loss, "mean_loss_backward": gradient})  # fmt: skip
        yield Fault(f"{name}-parameters", f"parameter {says}", ("dlnfw", "dlnfb"),
                    {"parameter_gradient": lambda name, g, k=k: k * g})  # fmt: skip
        for factor, word in ((1, ""), (k, ", and is not divided")):
            yield Fault(
                f"last-of-{k}{'-whole' if factor > 1 else ''}",
                f"of {k} micro-batches' gradients only the last is kept{word}",
                ("dlosses", "dlogits"),
                {"mean_loss_backward": last_rows(B // k, factor)},
            )


def last_rows(rows, factor):
    """The gradient of the last rows alone."""

    def gradient(targets, dtype):
        dlosses = factor * ops.mean_loss_backward(targets, dtype)
        dlosses[:-rows] = 0
        return dlosses

    return gradient
