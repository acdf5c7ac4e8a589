"""Where a picture's frame ends, so that a few high points do not flatten the rest."""

import numpy as np

BEGINNING = 0.02  # of a run, in which losses fall from heights
SPIKE = 4.0  # times what nineteen of twenty norms are below


def known(history, name):
    """(steps, values) of what a run has noted under a name, as far as it is a number."""
    part = next(part for part in (history.train, history.validation, history.hellaswag) if name in part)
    there = np.isfinite(part[name])
    return part["step"][there], part[name][there]


def frame_of_losses(curves):
    """(lowest, highest, whether a beginning is above it) of curves, each (places, losses); None of none."""
    curves = [(at, losses) for at, losses in curves if len(losses)]
    if not curves:
        return None
    later = [losses[at >= at[0] + BEGINNING * (at[-1] - at[0])].max() for at, losses in curves]
    low = min(losses.min() for _, losses in curves)
    top, most = max(later), max(losses.max() for _, losses in curves)
    above = most - low > 1.25 * (top - low)
    return float(low), float(top if above else most), bool(above)


def top_of_norms(norms):
    """The highest norm that is no spike."""
    limit = SPIKE * np.quantile(norms, 0.95)
    return float(norms[norms <= limit].max()) if norms.max() > limit > 0 else float(norms.max())
