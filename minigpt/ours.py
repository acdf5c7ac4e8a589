"""Places to write to: a new file, or one that the same command made before; nobody else's is written over."""

from pathlib import Path

from minigpt.disk import no_file
from minigpt.errors import ConfigError
from minigpt.flags import flag_of

HEAD = 4096  # bytes of a file in which the mark of who made it stands


def place_for(name, value, endings, mark):
    """The Path to write a file to. mark: bytes that stand near the beginning of our own. Raises ConfigError.

    name: the field, for the message. endings: those that a file may have, such as .png.
    """
    path, flag = Path(value), flag_of(name)
    if path.suffix.lower() not in endings:
        raise ConfigError(f"{flag}: expected a name that ends in {' or '.join(endings)}: found {value!r}")
    try:
        if not path.parent.is_dir():
            raise ConfigError(f"{flag}: expected a folder that is there: found no {path.parent}; make it")
        path.lstat()
        refuse_others(flag, path, mark)
    except FileNotFoundError as reason:
        if path.is_symlink():
            raise ConfigError(f"{flag}: {path}: leads to nothing: {reason.strerror}") from None
    except (OSError, ValueError) as reason:  # a ConfigError is a ValueError, too
        if isinstance(reason, ConfigError):
            raise
        raise ConfigError(f"{flag}: {path}: {getattr(reason, 'strerror', None) or reason}") from None
    return path


def refuse_others(flag, path, mark):
    """A ConfigError for what is there and was not made by the same command. Raises OSError, too."""
    if found := no_file(path):
        raise ConfigError(f"{flag}: {path}: expected the name of a file, found {found}; give another name")
    with open(path, "rb") as file:
        if mark not in file.read(HEAD):
            raise ConfigError(f"{flag}: {path} is there, and was made by something else: give another name")
