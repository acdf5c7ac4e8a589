"""Is a step fit to be applied? A loss or gradient that is not finite would ruin every weight at once."""

import math
from typing import NamedTuple


class Verdict(NamedTuple):
    """accepted, or a reason why not."""

    accepted: bool
    reason: str = ""


def judge(loss, norm):
    """Refuse a step whose loss or gradient norm is NaN or infinite."""
    if not math.isfinite(loss):
        return Verdict(False, f"loss is {float(loss)}")
    if not math.isfinite(norm):
        return Verdict(False, f"gradient norm is {float(norm)}")
    return Verdict(True)
