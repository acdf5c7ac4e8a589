"""The errors a user can meet. Each message says what, where, expected, found, and what to do."""


class MinigptError(Exception):
    """Base of every error that minigpt raises on purpose."""

    exit_code = 2  # of a command that ends by it: bad usage, or bad input


class ConfigError(MinigptError, ValueError):
    """A field of a configuration is missing, of the wrong type, or out of range."""


class DataError(MinigptError, ValueError):
    """Text, tokens or a data file are not what a function needs."""


class CheckpointError(MinigptError, ValueError):
    """A weight file or checkpoint is missing, damaged, or does not fit."""


class CommError(MinigptError):
    """Ranks disagree, or one of them does not answer."""

    exit_code = 1


class NumericsError(MinigptError, ArithmeticError):
    """A loss or gradient is no longer finite."""

    exit_code = 1
