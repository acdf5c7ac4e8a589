"""What a person gave a tool does not fit: one sentence, exit code 2."""

import sys


class BadInput(ValueError):
    """Says what, where, expected, found, and what to do."""


def answered(tool, work):
    """work()'s exit code, or 2 and one line on standard error where its input is bad."""
    try:
        return work()
    except BadInput as error:
        print(f"reference {tool}: {error}", file=sys.stderr)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        print(f"reference {tool}: {place}{error.strerror or error}", file=sys.stderr)
    return 2
