"""Launches softmax.cu: causal softmax over written-out scores. Reference: minigpt/ops/attention.py."""

from minigpt.kernels.cuda.module import blocks, kernel, width

WARPS = 4  # rows that a block works on at once


def softmax_forward(scores, scale):
    """probs = softmax(scale * scores) over each row's columns up to its own number, else 0. Donated: scores.

    scores (B, H, T, T) -> probs (B, H, T, T)
    """
    launch_rows("softmax_forward", (scores,), scale)
    return scores


def softmax_backward(dprobs, probs, scale):
    """dscores = scale * probs * (dprobs - sum(probs * dprobs)), written over dprobs.

    dprobs (B, H, T, T), probs (B, H, T, T) -> dscores (B, H, T, T)
    """
    launch_rows("softmax_backward", (dprobs, probs), scale)
    return dprobs


def launch_rows(name, arrays, scale):
    T = arrays[0].shape[-1]
    rows, wide = arrays[0].size // T, width(T, *arrays)
    launch = kernel("softmax", name, arrays[0].dtype, WIDTH=wide, ROUNDS=blocks(T, 32 * wide))
    launch((blocks(rows, WARPS),), (32 * WARPS,), *arrays, rows, T, scale)
