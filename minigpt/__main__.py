"""python -m minigpt."""

import os
import signal
import sys

INTERRUPTED = 130  # as in stop.py, which may not be imported yet


def main():
    """Run the command line."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # Ctrl-C before a command has begun: nothing is to be saved, and imports have no good place to stop
        signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    from minigpt.cli import main  # not above: worker processes import this file, and need no command line

    try:
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        return main()
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
