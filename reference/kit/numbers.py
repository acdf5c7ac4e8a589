"""The kit's inputs: few enough bits to be exact in float64, float32, bfloat16 and float16 alike.

So all precisions work on the same inputs, and a difference is one of arithmetic. The draws are those of
Python's random(), which is promised to be the same in every version.
"""

import random

from reference.scalar.nested import each, zeros

MOST = 255  # 8 bits, as many as bfloat16 has


class Grid:
    """Tables of whole numbers up to 255, times a power of 2."""

    def __init__(self, seed):
        self.random = random.Random(seed).random

    def even(self, *shape, unit=1 / 64, most=MOST):
        """Even on [-most, most] times unit: within 4 by default."""
        return each(lambda _: float(unit) * (int(self.random() * (2 * most + 1)) - most), zeros(*shape))

    def near_one(self, *shape):
        """Gains: within 1/4 of 1."""
        return each(lambda x: 1 + x, self.even(*shape, most=16))

    def positive(self, *shape):
        """Squares' means: within 4, 0 left out."""
        return each(lambda _: (1 + int(self.random() * MOST)) / 64, zeros(*shape))

    def ids(self, vocabulary, *shape):
        """Token ids."""
        return each(lambda _: int(self.random() * vocabulary), zeros(*shape))
