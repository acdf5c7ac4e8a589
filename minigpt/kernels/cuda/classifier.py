"""Launches classifier.cu: the loss and its gradient in one go. Reference: minigpt/ops/cross_entropy.py."""

import cupy

from minigpt.kernels.cuda.module import blocks, kernel, width

THREADS = 512  # of a row at most: what classifier.cu bounds


def classifier(logits, targets, n_vocab, dloss=None):
    """The loss, on the device. With a dloss, the gradient for it is written over the logits.

    Columns of the logits from n_vocab on are padding. targets: int32, at least one of them scored.

    logits (B, T, P), targets (B, T) -> loss ()
    """
    P, rows = logits.shape[-1], targets.size
    share, loss = (cupy.empty((), "float32") for _ in range(2))
    losses = cupy.empty(rows, "float32")
    wide = width(P, logits)
    threads = min(THREADS, 32 * blocks(P, 32 * wide))
    kernel("classifier", "classifier_share")((1,), (1024,), targets, share, rows)
    launch = kernel("classifier", "classifier", logits.dtype, WIDTH=wide)
    weight = 0.0 if dloss is None else dloss
    launch((rows,), (threads,), logits, targets, share, losses, n_vocab, P, weight, dloss is not None)
    kernel("classifier", "classifier_loss")((1,), (1024,), losses, loss, rows)
    return loss
