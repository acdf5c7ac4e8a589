"""Where a picture's frame ends, so that a few high points do not flatten the rest."""

import numpy as np

BEGINNING = 0.02  # of a run, in which losses fall from heights
MARGIN = 0.05  # of the frame's height
SPIKE = 4.0  # times what nineteen of twenty norms are below


def known(history, name):
    """(steps, values) of what a run has noted under a name, as far as it is a number."""
    part = next(part for part in (history.train, history.validation, history.hellaswag) if name in part)
    there = np.isfinite(part[name])
    return part["step"][there], part[name][there]


def frame_loss(axes, runs, lowest):
    """Frame the losses after a run's beginning; whether some are above it. lowest: what is inside, too."""
    highest, most = -np.inf, -np.inf
    for _, history, place in runs:
        for name in ("loss", "val_loss"):
            steps, values = known(history, name)
            if len(values):
                at = place(steps)
                later = at >= at[0] + BEGINNING * (at[-1] - at[0])
                highest, most = max(highest, values[later].max()), max(most, values.max())
                lowest = min(lowest, values.min())
    if not np.isfinite(highest):
        return False
    above = most - lowest > 1.25 * (highest - lowest)
    top = highest if above else most
    margin = MARGIN * (top - lowest) or 1.0
    axes.set_ylim(lowest - margin, top + margin)
    return above


def frame_norm(axes, runs):
    """Frame the norms without their spikes, and say how high these are."""
    norms = np.concatenate([known(history, "norm")[1] for _, history, _ in runs])
    limit = SPIKE * np.quantile(norms, 0.95)
    if norms.max() > limit > 0:
        axes.set_title(f"{axes.get_title(loc='left')}, up to {norms.max():.3g}")
        axes.set_ylim(0, norms[norms <= limit].max() * (1 + MARGIN))
    else:
        axes.set_ylim(bottom=0)
