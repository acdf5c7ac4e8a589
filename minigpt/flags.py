"""Checks of flags that several commands share."""

from minigpt.errors import ConfigError


def refuse_empty(command, names):
    """A ConfigError for a path that was given and is empty."""
    for name in names:
        if getattr(command, name) == "":
            raise ConfigError(
                f"{flag_of(name)}: expected a path, found none; is a variable of the shell empty?"
            )


def flag_of(name):
    """A field's flag: write_bin -> --write-bin."""
    return "--" + name.replace("_", "-")
