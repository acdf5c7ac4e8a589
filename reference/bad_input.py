"""What a person gave a tool does not fit: one sentence, exit code 2."""

import os
import sys

INTERRUPTED = 130  # what a shell says of a program that Ctrl-C ended
READER_GONE = 141  # what a shell says of a program that wrote to a closed pipe


class BadInput(ValueError):
    """Says what, where, expected, found, and what to do."""


def refuse_empty(command, *flags):
    """An empty name would stand for the folder that one is in: a variable of a script was not set."""
    for flag in flags:
        if getattr(command, flag) == "":
            raise BadInput(f"{flag}: expected a path: found an empty one")


def counted(number, what):
    """ "1 layer", "2 layers"."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def answered(tool, work):
    """work()'s exit code, or 2 and one line on standard error where its input is bad."""
    try:
        return work()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing more is flushed at the end
        return READER_GONE
    except KeyboardInterrupt:
        say(tool, "stopped")
        return INTERRUPTED
    except BadInput as error:
        say(tool, error)
    except OSError as error:
        say(tool, f"{error.filename}: {error.strerror}" if error.filename and error.strerror else error)
    except MemoryError as error:
        say(tool, f"out of memory ({error or 'no more is said'}): take a smaller model or batch")
    return 2


def say(tool, what):
    """One line, whatever stands in it: a path may hold line breaks."""
    print(f"reference {tool}: {' '.join(str(what).split())}", file=sys.stderr)
