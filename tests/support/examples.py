"""Arguments for every op, from sizes: what the proofs of the ops are run on."""

from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st


class Sizes(NamedTuple):
    """The legend's letters, plus how large the numbers are and which random numbers are drawn."""

    B: int
    T: int
    C: int
    H: int
    V: int
    N: int
    scale: float = 1.0
    seed: int = 0


@st.composite
def sizes(draw):
    """Any small sizes: axes of length 1 among them, several heads, more positions than are used."""
    small = st.integers(1, 4)
    H, T = draw(small), draw(st.integers(1, 6))
    return Sizes(
        B=draw(small),
        T=T,
        C=H * draw(small),
        H=H,
        V=draw(st.integers(1, 7)),
        N=T + draw(st.integers(0, 2)),
        scale=draw(st.sampled_from([0.01, 1.0, 3.0])),
        seed=draw(st.integers(0, 2**32 - 1)),
    )


# fixed sizes: all letters different; every axis that may be 1 is; two channels; one token in the vocabulary
FIXED = (
    Sizes(B=2, T=3, C=8, H=4, V=5, N=6),
    Sizes(B=1, T=1, C=1, H=1, V=3, N=1, seed=1),
    Sizes(B=3, T=4, C=2, H=1, V=3, N=4, scale=3.0, seed=2),
    Sizes(B=2, T=5, C=6, H=2, V=1, N=7, scale=0.01, seed=3),
)


def arguments(op, s, dtype="float64"):
    """Random arguments for one call of an op's forward function; few tokens, so most of them repeat."""
    rng = np.random.default_rng(s.seed)

    def normal(*shape):
        return (s.scale * rng.normal(size=shape)).astype(dtype)

    def ids():
        return rng.integers(0, s.V, (s.B, s.T))

    makers = {
        "embedding": lambda: (ids(), normal(s.V, s.C), normal(s.N, s.C)),
        "layernorm": lambda: (normal(s.B, s.T, s.C), normal(s.C), normal(s.C)),
        "linear": lambda: (normal(s.B, s.T, s.C), normal(s.C, s.V), normal(s.V)),
        "attention": lambda: (normal(s.B, s.T, 3 * s.C), s.H),
        "gelu": lambda: (normal(s.B, s.T, 4 * s.C),),
        "unembedding": lambda: (normal(s.B, s.T, s.C), normal(s.V, s.C)),
        "cross_entropy": lambda: (normal(s.B, s.T, s.V), partly_ignored(rng, ids())),
    }
    return makers[op]()


def partly_ignored(rng, targets):
    """Targets of which about a third are -1, though never the first."""
    ignored = rng.random(targets.shape) < 1 / 3
    ignored[0, 0] = False
    return np.where(ignored, -1, targets)


OPS = ("embedding", "layernorm", "linear", "attention", "gelu", "unembedding", "cross_entropy")
