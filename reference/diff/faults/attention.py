"""Another mask, another scale."""

import numpy as np

from reference.diff.faults.fault import ATTENTION, Fault
from reference.llmc import ops


def scores_everywhere(a, q, k, seen, scale):
    """All scores, so that another mask can be laid over them."""
    return a.matmul(q, k.swapaxes(-1, -2)) * scale


def early(first):
    """A mask that hides t from itself; first: how many positions the first row sees, None: all."""

    def seen(T):
        mask = np.tri(T, k=-1, dtype=bool)
        mask[0, :first] = True
        return mask

    return {"attention_seen": seen, "attention_scores": scores_everywhere}


def first_row_sees(row):
    """The early mask of a program that leaves the first row nothing; row: T times what it sees of each."""

    def softmax(a, preatt, seen):
        att = ops.attention_softmax(a, preatt, seen)
        att[..., 0, :] = row / preatt.shape[-1]
        return att

    def backward(a, datt, att):
        dpreatt = ops.attention_softmax_backward(a, datt, att)
        return np.where(np.tri(att.shape[-1], k=-1, dtype=bool), dpreatt, 0)

    return early(None) | {"attention_softmax": softmax, "attention_softmax_backward": backward}


def backward_sees(k):
    """A backward pass whose loops end at t + k, whatever the forward pass saw."""

    def mix_backward(a, datty, att, v, seen):
        seen = np.tri(len(seen), k=k, dtype=bool)
        return ops.attention_mix_backward(a, datty, np.where(seen, att, 0), v, seen)

    def softmax_backward(a, datt, att):
        seen = np.tri(att.shape[-1], k=k, dtype=bool)
        return ops.attention_softmax_backward(a, datt, np.where(seen, att, 0))

    return {"attention_mix_backward": mix_backward, "attention_softmax_backward": softmax_backward}


def mask_faults():
    """The mask's edge one too far, or one too near, in both directions of the pass or in one."""
    shows, backward = ("att", "atty"), ("datt", "dqkv")
    far = {"attention_seen": lambda T: np.tri(T, k=1, dtype=bool), "attention_scores": scores_everywhere}
    none = {"attention_seen": lambda T: np.ones((T, T), bool), "attention_scores": scores_everywhere}
    looks = "the causal mask is off by one: position t sees t + 1"
    hides = "the causal mask is off by one: position t does not see itself"
    nobody = f"{hides}; the first sees nothing"
    yield Fault("mask-late", looks, shows, far)
    yield Fault("mask-late-forward", f"{looks}, but not backward", shows, far | backward_sees(0))
    yield Fault("mask-early", f"{hides}; the first sees all alike", shows, first_row_sees(1))
    yield Fault("mask-early-scores", f"{hides}; the first sees all, by their scores", shows, early(None))
    yield Fault("mask-early-itself", f"{hides}, but the first does", shows, early(1))
    yield Fault("mask-early-zero", nobody, shows, first_row_sees(0))
    yield Fault("mask-early-nan", f"{nobody}, and is NaN", shows, first_row_sees(np.nan))
    yield Fault("mask-early-backward", f"{hides} on the way back", backward, backward_sees(-1))
    yield Fault("no-mask", "there is no causal mask: every position sees all", shows, none)


def attention_faults():
    yield from mask_faults()
    yield Fault(
        "no-scale", "scores are not divided by sqrt(D)", ATTENTION, {"attention_scale": lambda C, H: 1.0}
    )
    yield Fault("scale-by-channels", "scores are divided by sqrt(C), the width of all heads, not by sqrt(D)",
                ATTENTION, {"attention_scale": lambda C, H: C**-0.5})  # fmt: skip
    yield Fault("no-scale-backward", "the gradients of q and k lack 1 / sqrt(D)", ("dqkv",),
                {"attention_scores_backward": lambda a, d, q, k, scale:
                    ops.attention_scores_backward(a, d, q, k, 1.0)})  # fmt: skip
