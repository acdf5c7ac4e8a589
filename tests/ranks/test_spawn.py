"""What --ranks tells the ranks is what it was told itself."""

import dataclasses

import pytest

from minigpt.cli import STYLE, Command
from minigpt.options import Recipe
from minigpt.ranks.spawn import flags
from minigpt.usage import parsed

ODD = {"bool": [True], "str": ["-x", "a b", "=", "é"], "int": [0, 7, -1], "float": [0.0, 0.1, -2.5, 1e-300]}


def changed(field, turn):
    """One of the odd values of a field's type."""
    kind = ODD[getattr(field.type, "__name__", str(field.type)).removesuffix(" | None")]
    return kind[turn % len(kind)]


@pytest.mark.parametrize("turn", range(4))
def test_every_flag_reaches_the_ranks(turn):
    recipe = Recipe(**{field.name: changed(field, turn) for field in dataclasses.fields(Recipe)})
    assert parsed(Command, ["train", *flags(recipe)], prog="minigpt", config=STYLE) == recipe
