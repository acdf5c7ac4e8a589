"""The curves: of long runs means of stretches, with the lowest and the highest of each."""

import numpy as np

from minigpt.errors import ConfigError
from minigpt.history.axes import LABELS, place
from minigpt.history.frames import frame_of_losses, known, top_of_norms
from minigpt.history.references import CHANCE, HELLASWAG, LOSSES, corpus_of, other_tokens
from minigpt.history.smooth import mean_around, stretches, usual_width
from minigpt.reporting.numbers import one, short

MOST = 1200  # points of a curve: more than a screen has columns


def curves_of(history):
    """All curves of a run as the page takes them, and what has been done to them."""
    train, n = history.train, len(history.train["step"])
    starts, ends = stretches(n, MOST)
    at = ends - 1
    width = usual_width(n)
    places = {axis: found for axis in LABELS if (found := places_of(history, axis))}
    return {
        "axes": {axis: LABELS[axis] for axis in places},
        "train": {axis: short(found(train["step"][at]), 9) for axis, found in places.items()}
        | {
            "loss": means(train["loss"], starts, ends),
            "low": reduced(np.fmin, train["loss"], starts),
            "high": reduced(np.fmax, train["loss"], starts),
            "smooth": short(mean_around(train["loss"], width)[at]),
            "norm": means(train["norm"], starts, ends),
            "norm_high": reduced(np.fmax, train["norm"], starts),
            "lr": short(train["lr"][at]),
            "speed": means(train["tokens_per_second"], starts, ends),
        },
        "validation": points(history, "val_loss", places)
        | {"bits": short(known_beside(history, "val_bits_per_byte", "val_loss"))},
        "hellaswag": points(history, "hellaswag", places),
        "frame": frames(history),
        "references": references(history),
        "said": said(n, width, len(starts)),
    }


def places_of(history, axis):
    """Where steps lie on an axis, None where the log does not know."""
    try:
        return place(history, axis)
    except ConfigError:
        return None


def points(history, name, places):
    """Scores between steps."""
    steps, values = known(history, name)
    return {axis: short(found(steps), 9) for axis, found in places.items()} | {"value": short(values)}


def known_beside(history, name, known_one):
    """What was noted together with another number, where that is one."""
    return history.validation[name][np.isfinite(history.validation[known_one])]


def means(values, starts, ends):
    """The mean of each stretch, without what is not finite."""
    finite = np.isfinite(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(finite, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(finite)])
    with np.errstate(invalid="ignore"):
        return short((sums[ends] - sums[starts]) / (counts[ends] - counts[starts]))


def reduced(least_or_most, values, starts):
    """The lowest or highest number of each stretch."""
    values = np.where(np.isfinite(values), values, np.nan)
    return short(least_or_most.reduceat(values, starts)) if len(starts) else []


def frames(history):
    """Where the loss's frame and the norm's end; null: at their highest."""
    curves = [known(history, name) for name in ("loss", "val_loss")]
    found, norms = frame_of_losses(curves), known(history, "norm")[1]
    top = top_of_norms(norms) if len(norms) else None
    return {
        "low": one(found[0]) if found else None,
        "top": one(found[1]) if found else None,
        "above": bool(found and found[2]),
        "norm": top,
        "norm_most": one(norms.max()) if len(norms) else None,
    }


def references(history):
    """Scores of GPT-2's own checkpoints that these may be held against, and why there are none of losses."""
    corpus = corpus_of(history)
    why = ""
    if corpus is None and history.about:
        why = "its vocabulary is another" if other_tokens(history) else "they are known for other texts"
    scores = HELLASWAG | {"chance": CHANCE}
    return {"corpus": corpus, "losses": LOSSES.get(corpus, {}), "hellaswag": scores, "why_none": why}


def said(n, width, shown):
    """How many steps a line's point is of."""
    if shown < n:
        band = "the band reaches from the lowest to the highest of each stretch"
        return f"{n:,} steps in {shown:,} stretches; the line is the mean of {width} steps, {band}"
    return f"the line is the mean of {width} steps around each, faint: each step" if width > 1 else ""
