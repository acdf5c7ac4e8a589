"""python -m minigpt."""

import sys


def main():
    """Run the command line."""
    try:
        from minigpt.cli import main  # not above: worker processes import this file, and need no command line

        return main()
    except KeyboardInterrupt:
        return 130  # Ctrl-C before a command had begun, as in cli.py


if __name__ == "__main__":
    sys.exit(main())
