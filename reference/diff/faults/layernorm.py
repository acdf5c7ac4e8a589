"""Layernorms with another epsilon, another divisor, or half a gradient."""

import numpy as np

from reference.diff.faults.fault import Fault
from reference.llmc import ops

LAYERNORM = ("ln1_rstd", "ln1", "ln2_rstd", "ln2", "lnf_rstd", "lnf")
LAYERNORM_BACKWARD = ("dresidual3", "dresidual2", "dencoded")


def rstd_of(eps=ops.EPS, outside=False, missing=0):
    """(rstd, its gradient to x) with another epsilon, one outside the root, or a divisor of C - missing."""

    def forward(a, x, mean):
        centred = x - mean[..., None]
        variance = a.total(centred * centred, axis=-1)[..., 0] / (x.shape[-1] - missing)
        return 1 / (np.sqrt(variance) + eps) if outside else 1 / np.sqrt(variance + eps)

    def backward(a, drstd, x, mean, rstd):
        power = rstd**3
        if outside:  # d/dvar of 1/(root + eps) is -rstd^2 / (2 root), and root = 1/rstd - eps
            power = rstd**2 / (1 / rstd - eps)
        return (-drstd * power)[..., None] * (x - mean[..., None]) / (x.shape[-1] - missing)

    return forward, backward


def layernorm_faults(sizes):
    kinds = [
        (
            "eps-outside",
            "layernorm's epsilon stands outside the root: 1 / (sqrt(var) + eps)",
            {"outside": True},
        ),
        ("no-eps", "layernorm has no epsilon", {"eps": 0.0}),
        ("eps-1e-6", "layernorm's epsilon is 1e-6; GPT-2's is 1e-5", {"eps": 1e-6}),
    ]
    if sizes.C > 1:
        kinds.append(
            ("variance-c-1", "layernorm's variance is divided by C - 1; GPT-2 divides by C", {"missing": 1})
        )
    for name, says, options in kinds:
        forward, backward = rstd_of(**options)
        yield Fault(name, says, LAYERNORM,
                    {"layernorm_rstd": forward, "layernorm_rstd_backward": backward})  # fmt: skip
        if options.keys() & {"outside", "missing"}:  # else the right formula is the derivative too
            yield Fault(f"{name}-forward", f"{says}; backward by the right formula", LAYERNORM,
                        {"layernorm_rstd": forward})  # fmt: skip
    yield Fault("no-mean-backward", "layernorm's gradient lacks what comes through the mean",
                LAYERNORM_BACKWARD,
                {"layernorm_input_backward": lambda a, through, dout, dmean, rstd, weight:
                    ops.layernorm_input_backward(a, through, dout, 0 * dmean, rstd, weight)})  # fmt: skip
    yield Fault("no-variance-backward", "layernorm's gradient lacks what comes through the variance",
                LAYERNORM_BACKWARD,
                {"layernorm_rstd_backward": lambda a, drstd, x, mean, rstd: np.zeros_like(x)})  # fmt: skip
