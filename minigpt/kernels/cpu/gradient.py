"""Gradients of parameters on cores: products that all threads write at once, and vectors that are known."""

import numpy as np

from minigpt.kernels.gradient import Gradient, together

TALL = 4096  # of the token table's 50,257 rows BLAS would repack all at once: 30 MB a thread


def products(pairs, team):
    """The gradients left' @ right of several weights, a Gradient each. The threads share them in one go.

    Each makes some rows, which BLAS does quicker than some columns, even where columns are four times as many.

    pairs: left (N, I), right (N, O) -> Gradient (I, O) each
    """

    def launch(places, add):
        work = sum(left.size * right.shape[1] for left, right in pairs)
        cuts = zip(*(team.cuts(len(place), work) for place in places), strict=True)

        def job(cut):
            for (left, right), place, rows in zip(pairs, places, cut, strict=True):
                lay(left[:, rows].T, right, place[rows], add)

        team.share(job, list(cuts))

    return together(launch, len(pairs))


def lay(left, right, out, add):
    """out = left @ right, or out + that, TALL rows at a time.

    left (I, N), right (N, O), out (I, O)
    """
    for i in range(0, len(out), TALL):
        rows = slice(i, i + TALL)
        if add:
            out[rows] += left[rows] @ right
        else:
            np.matmul(left[rows], right, out=out[rows])


def known(vector):
    """The Gradient of an array that is there already: a bias, a gain, a table of positions.

    vector (C) -> Gradient (C)
    """

    def writer(out, add):
        np.add(out, vector, out=out) if add else np.copyto(out, vector)

    return Gradient(writer)
