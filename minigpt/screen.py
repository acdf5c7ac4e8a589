"""What a command says: results on standard output, remarks on standard error."""

import contextlib
import os
import sys

from minigpt.errors import DataError

ESCAPED = "backslashreplace"  # é is written as \xe9 where there is no é, as in ASCII


def open_screen():
    """Make standard output ready for any text. Raises DataError if it is closed."""
    if sys.stdout is None:
        raise DataError("standard output is closed: there is nowhere to write to")
    if hasattr(sys.stdout, "reconfigure") and sys.stdout.errors != ESCAPED:
        sys.stdout.reconfigure(errors=ESCAPED)


class Screen:
    """A standard output whose errors say whose they are: print's name no file."""

    def __init__(self, stream):
        self.stream = stream

    def __getattr__(self, name):
        return getattr(self.stream, name)

    def write(self, text):
        """Raises OSError, without a number: `minigpt data` takes that of a full disk for its own."""
        with named(self.stream):
            return self.stream.write(text)

    def flush(self):
        """Raises OSError, as write does."""
        with named(self.stream):
            self.stream.flush()


@contextlib.contextmanager
def screen():
    """Within, print and say write to a Screen; all of it is written at the end. Raises DataError, OSError."""
    open_screen()
    with contextlib.redirect_stdout(Screen(sys.stdout)):
        yield
        sys.stdout.flush()  # Python does so at its own end, where nobody can answer a failure


@contextlib.contextmanager
def outlived():
    """Within, whoever writes deals with a standard output that fails; what is left unwritten is given up."""
    try:
        yield
    finally:
        try:
            if sys.stdout:
                sys.stdout.flush()
        except OSError:
            to_nowhere(sys.stdout)


@contextlib.contextmanager
def named(stream):
    """Say of an OSError that it is standard output's; that its reader has gone says so itself."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as reason:
        to_nowhere(stream)
        said = f"standard output: cannot be written to: {reason.strerror}" if reason.strerror else str(reason)
        raise OSError(said) from None


def say(text):
    """Write to standard output, at once. Raises DataError, OSError."""
    open_screen()
    with named(sys.stdout):
        sys.stdout.write(text)
        sys.stdout.flush()


def say_bytes(content):
    """Write bytes to standard output as they are, at once. Raises DataError, OSError."""
    open_screen()
    with named(sys.stdout):
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()


def to_nowhere(stream):
    """What Python still holds for a stream goes to nowhere, or Python would try again at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def tell(line):
    """A line for the person at the terminal; that nobody can read it ends no work."""
    if not sys.stderr:  # None if it is closed, and then print would take standard output
        return
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:
        to_nowhere(sys.stderr)


def printable(text):
    """Text whose characters all show: names in files may hold what a terminal obeys, or has no letter for."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
