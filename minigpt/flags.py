"""Checks of flags that several commands share."""

import dataclasses
import os
import typing

from minigpt.errors import ConfigError


def refuse_empty(command, names):
    """A ConfigError for a path that was given and is empty."""
    for name in names:
        if getattr(command, name) == "":
            raise ConfigError(
                f"{flag_of(name)}: expected a path, found none; is a variable of the shell empty?"
            )


def check_words(command):
    """A ConfigError for a value that is no text, path or switch where a field wants one; see its type."""
    for field in dataclasses.fields(command):
        kinds, value = typing.get_args(field.type) or (field.type,), getattr(command, field.name)
        known = {str: (str, os.PathLike), bool: (bool,)}
        wanted = [kind for kind in known if kind in kinds]
        if not wanted or (value is None and type(None) in kinds):
            continue
        if not isinstance(value, known[wanted[0]]):
            what = "a text" if wanted[0] is str else "True or False"
            raise ConfigError(f"{field.name} must be {what}: found {value!r} of type {type(value).__name__}")


def flag_of(name):
    """A field's flag: write_bin -> --write-bin."""
    return "--" + name.replace("_", "-")
