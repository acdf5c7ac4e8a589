"""reference/compare.py: one number a tensor, and nothing that is not finite counts as near."""

import math

import numpy as np
import pytest

from reference.compare import distance, distances


@pytest.mark.parametrize(("got", "want", "expected"), [
    ([3.0, 4.5], [3.0, 4.0], 0.1), ([0.0], [0.0], 0.0), ([1e-300], [0.0], math.inf),
    ([1.0], [1.0, 1.0], math.inf), ([np.nan], [1.0], math.inf), ([np.inf], [1.0], math.inf),
])  # fmt: skip
def test_distance(got, want, expected):
    assert distance(got, want) == pytest.approx(expected, rel=1e-15)


def test_a_name_on_one_side_is_an_error():
    with pytest.raises(KeyError, match=r"only: .*'b'"):
        distances({"a": 1.0}, {"a": 1.0, "b": 2.0})
