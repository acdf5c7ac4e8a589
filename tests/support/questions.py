"""Random models and batches for the tests of reference/llmc, its budgets and its diff."""

import numpy as np

from reference.budgets import Emulated
from reference.llmc import Inputs, Sizes, run
from reference.llmc.names import label
from reference.llmc.parameters import random_parameters

SMALL = Sizes(L=2, H=2, D=4, V=20, N=8, B=2, T=6)


def inputs(sizes=SMALL, seed=0, ignored=False):
    """Random parameters, tokens and targets; some targets are -1 if so wanted."""
    rng = np.random.default_rng(seed)
    tokens, targets = rng.integers(0, sizes.V, (2, sizes.B, sizes.T))
    if ignored:
        targets.ravel()[1:][rng.random(targets.size - 1) < 0.3] = -1
    return Inputs(sizes, random_parameters(sizes, seed), tokens, targets)


def program(question, mode="fp32", seed=99, **options):
    """Somebody's program: its tensors by name, ln1[0] and the like, computed in few bits, or exactly."""
    arithmetic = {} if mode is None else {"arithmetic": Emulated(mode, np.random.default_rng(seed))}
    with np.errstate(all="ignore"):
        return {label(key): np.asarray(x) for key, x in run(question, **arithmetic, **options).items()}
