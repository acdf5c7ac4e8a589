"""A run's settings: which were the preset's, and the command that asks for the others."""

import dataclasses
import shlex

from minigpt.flags import flag_of
from minigpt.options import Recipe
from minigpt.recipe import PRESET_RECIPES

PLACES = ("out", "resume", "allow_changes")  # where a run lies, not what it is


def settings(history):
    """[[flag, value, whether it is usual], ...] in the order of --help."""
    recipe = history.about.get("recipe", {})
    usual = usual_of(recipe)
    return [
        [flag_of(name)[2:], said(recipe[name]), name in PLACES or recipe[name] in (None, usual.get(name))]
        for name in dict.fromkeys([*usual, *recipe])
        if name in recipe
    ]


def usual_of(recipe):
    """What a preset has where nothing is given."""
    usual = {field.name: field.default for field in dataclasses.fields(Recipe)}
    preset = PRESET_RECIPES.get(recipe.get("preset"), {}) if isinstance(recipe.get("preset"), str) else {}
    return usual | preset | {"preset": "small"}


def command(history):
    """The command that asks for this run, "" if its settings are not known."""
    recipe = history.about.get("recipe", {})
    if not recipe:
        return ""
    usual, words = usual_of(recipe), ["minigpt", "train"]
    for name, value in recipe.items():
        if name in usual and value != usual[name] and name not in PLACES and value is not None:
            words += [flag_of(name)] if value is True else [flag_of(name), said(value)]
    return shlex.join(words)


def said(value):
    """A value as it is typed."""
    return f"{value:g}" if type(value) is float else "" if value is None else str(value)


def steps_asked(history):
    """How many steps the whole run is to have; None if that is not known."""
    steps = history.about.get("recipe", {}).get("steps")
    return steps if type(steps) is int else None
