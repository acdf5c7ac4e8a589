"""What ranks decide together, with a world whose other ranks are lists."""

from types import SimpleNamespace

import pytest

from minigpt.comm import Alone
from minigpt.cores import available_cores
from minigpt.errors import ConfigError
from minigpt.guard import FINE, NOT_FINITE, SPIKE, Verdict
from minigpt.ranks.equal import check_settings
from minigpt.training import threads_of


def world_of(*others):
    """A rank whose others say these things; what passes is a list, as JSON gives it."""
    world = Alone()
    world.gather = lambda own: [list(own) if isinstance(own, tuple) else own, *others]
    return world


@pytest.mark.parametrize(
    "others", [([SPIKE, "leap"], [NOT_FINITE, "nan"]), ([NOT_FINITE, "nan"], [FINE, ""])]
)
def test_the_worst_of_differing_verdicts_is_everybodys(others):
    assert world_of(*others).agree(Verdict(FINE)) == Verdict(NOT_FINITE, "nan")


def test_settings_that_differ_are_named_with_the_rank_and_those_alone():
    told = {"lr": "0.1", "seed": "1", "zero": "0"}
    with pytest.raises(
        ConfigError, match=r"^ranks 0 and 2 differ in lr: 0.1 and 0.2; zero: 0 and 1: give"
    ) as found:
        check_settings(world_of(told, told | {"lr": "0.2", "zero": "1"}), {"lr": 0.1, "seed": 1, "zero": 0})
    assert found.value.agreed
    check_settings(world_of(told), {"lr": 0.1, "seed": 1, "zero": 0})


@pytest.mark.parametrize("ranks", [1, 2, 10**6])
def test_ranks_of_a_machine_share_its_cores(ranks):
    world = SimpleNamespace(local_size=ranks)
    assert threads_of(SimpleNamespace(threads=None), world) == max(1, available_cores() // ranks)
    assert threads_of(SimpleNamespace(threads=3), world) == 3
