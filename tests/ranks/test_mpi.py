"""Real ranks of MPI take the steps that one process takes."""

import itertools

import pytest

from minigpt.comm import Alone
from tests.ranks.mpiexec import answers
from tests.ranks.steps import train

ROWS, STEPS = 24, 5  # 24 rows can be dealt to 1, 2, 3 and 4 ranks in parts of 1 and of 2
CONFIG = [2, 2, 8, 12, 37]  # 1,796 parameters and a vocabulary that no number of ranks divides


def ask(parts, zero=False, dtype="float64", ops="reference", config=CONFIG):
    """What tests.ranks.steps is told."""
    return {
        "config": config, "dtype": dtype, "ops": ops, "steps": STEPS,
        "rows": ROWS, "parts": parts, "context": 8, "zero": zero,
    }  # fmt: skip


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_any_number_of_ranks_and_parts_takes_the_steps_of_one_process(size):
    alone = train(Alone(), ask(1))
    asks = [ask(parts, zero) for parts, zero in itertools.product((12, 24), (False, True))]
    for ranks in answers(size, asks):
        assert len(ranks) == size
        assert len({rank["params"] for rank in ranks}) == 1, "ranks differ in a bit of the weights"
        for key in ("losses", "norms", "moments", "sum"):
            assert ranks[0][key] == pytest.approx(alone[key], rel=1e-12)
            assert all(rank[key] in (ranks[0][key], []) for rank in ranks)


def test_the_same_ranks_twice_are_the_same_bits():
    asks = [ask(12, zero, "float32", "fast") for zero in (False, True)]
    assert answers(3, asks) == answers(3, asks)


def test_zero_1_is_plain_data_parallel_with_a_share_of_the_moments_on_each_rank():
    # beta2^t is not 0: AdamW divides by a root, so equal to rounding, not to the bit
    plain, shared = answers(3, [ask(12), ask(12, zero=True)])
    for key in ("losses", "norms", "moments", "sum"):
        assert shared[0][key] == pytest.approx(plain[0][key], rel=1e-12)
    assert sum(rank["held"] for rank in shared) == plain[0]["held"]
    assert max(rank["held"] for rank in shared) <= plain[0]["held"] / 3 + 4 * 8
