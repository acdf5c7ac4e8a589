"""What a command says: results on standard output, remarks on standard error."""

import os
import sys

from minigpt.errors import DataError


def open_screen():
    """Make standard output ready for any text. Raises DataError if it is closed."""
    if sys.stdout is None:
        raise DataError("standard output is closed: there is nowhere to write to")
    if hasattr(sys.stdout, "reconfigure"):  # é is written as \\xe9 where there is no é, as in ASCII
        sys.stdout.reconfigure(errors="backslashreplace")


def say(text):
    """Write to standard output, at once."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as reason:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python tries again at its end
        raise DataError(f"standard output: cannot be written to: {reason.strerror}") from None


def tell(line):
    """A line for the person at the terminal."""
    if sys.stderr:  # None if it is closed, and then print would take standard output
        print(line, file=sys.stderr, flush=True)


def printable(text):
    """Text whose characters all show: names in files may hold what a terminal obeys, or has no letter for."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
