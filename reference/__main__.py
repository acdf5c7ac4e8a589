"""python -m reference check | dump | diff | kit | trace: tools around the oracles."""

import os
import signal
import sys

INTERRUPTED = 130  # what a shell says of a program that Ctrl-C ended
BAD_USAGE = 2  # exit code


def main():
    """Run the command line, which is in tools.py; the exit code."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # Ctrl-C before a command has begun: nothing is to be saved, and imports have no good place to stop
        signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    try:
        from reference.tools import main  # not above: it takes a while, and needs packages
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] in ("minigpt", "reference"):
            raise  # no package of others: what is wrong is wrong here
        return not_installed(missing.name)
    try:
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        return main()
    except KeyboardInterrupt:
        return INTERRUPTED


def not_installed(name):
    """Say so in one line; the exit code."""
    if sys.stderr:
        print(
            f"reference: {name} is not installed for {sys.executable}: use .venv/bin/python -m reference, "
            "which make train sets up",
            file=sys.stderr,
        )
    return BAD_USAGE


if __name__ == "__main__":
    sys.exit(main())
