"""Gradients of parameters on cores: products that all threads write at once, and vectors that are known."""

import numpy as np

from minigpt.kernels.gradient import Gradient, together


def products(pairs, team):
    """The gradients left' @ right of several weights, a Gradient each. The threads share them in one go.

    They are cut by rows, which BLAS makes quicker than columns even where those are four times as many.

    pairs: left (N, I), right (N, O) -> Gradient (I, O) each
    """

    def launch(places, add):
        work = sum(left.size * right.shape[1] for left, right in pairs)
        parts = [
            (left[:, rows].T, right, place[rows])
            for (left, right), place in zip(pairs, places, strict=True)
            for rows in team.cuts(len(place), work)
        ]
        team.share(lambda part: lay(*part, add), parts)

    return together(launch, len(pairs))


def lay(left, right, out, add):
    """out = left @ right, or out + that; of matrices, or of arrays of matrices.

    left (..., I, N), right (..., N, O), out (..., I, O)
    """
    if add:
        out += left @ right
    else:
        np.matmul(left, right, out=out)


def known(vector):
    """The Gradient of an array that is there already: a bias, a gain, a table of positions.

    vector (C) -> Gradient (C)
    """

    def writer(out, add):
        np.add(out, vector, out=out) if add else np.copyto(out, vector)

    return Gradient(writer)
