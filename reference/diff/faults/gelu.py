"""GELU in its other form."""

import math

import numpy as np

from reference.diff.faults.fault import Fault


def phi(x):
    """The normal distribution function, by erf."""
    return ((1 + np.vectorize(math.erf, otypes=[float])(x / math.sqrt(2))) / 2).astype(x.dtype)


def gelu_erf(x):
    return x * phi(x)


def gelu_erf_backward(dout, x):
    return dout * (phi(x) + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi))


def gelu_faults():
    both = {"gelu_forward": gelu_erf, "gelu_backward": gelu_erf_backward}
    one_way = "GELU by erf forward, by the tanh form backward"
    yield Fault("erf-gelu", "GELU is x * Phi(x) by erf; GPT-2's is the tanh form", ("fch_gelu",), both)
    yield Fault("erf-gelu-forward", one_way, ("fch_gelu",), {"gelu_forward": gelu_erf})
    yield Fault("erf-gelu-backward", "the gradient of GELU is that of the erf form, GPT-2's is the tanh form",
                ("dfch",), {"gelu_backward": gelu_erf_backward})  # fmt: skip
