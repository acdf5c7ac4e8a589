"""How a tool's work ends: an exit code, and one line on standard error where something is wrong."""

import sys

from minigpt.errors import DataError
from minigpt.screen import printable, screen, tell, to_nowhere
from reference.bad_input import BadInput

INTERRUPTED = 130  # what a shell says of a program that Ctrl-C ended
READER_GONE = 141  # what a shell says of a program that wrote to a closed pipe


def answered(tool, work):
    """work()'s exit code, or 2 and one line on standard error where its input is bad. tool: "" before one."""
    try:
        return work() if not tool else shown(work)
    except BrokenPipeError:
        to_nowhere(sys.stdout)
        return READER_GONE
    except KeyboardInterrupt:
        say(tool, "stopped")
        return INTERRUPTED
    except (BadInput, DataError) as error:
        say(tool, error)
    except OSError as error:
        say(tool, f"{error.filename}: {error.strerror}" if error.filename and error.strerror else error)
    except MemoryError as error:
        say(tool, f"out of memory ({error or 'no more is said'}): take a smaller model or batch")
    return 2


def shown(work):
    """work()'s exit code, with standard output ready for it."""
    with screen():
        return work()


def say(tool, what):
    """One line, whatever stands in it: a path may hold line breaks."""
    tell(f"reference {tool}".strip() + f": {printable(' '.join(str(what).split()))}")
