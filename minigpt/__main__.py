"""python -m minigpt."""

import sys


def main():
    """Run the command line."""
    from minigpt.cli import main  # not above: worker processes import this file, and need no command line

    return main()


if __name__ == "__main__":
    sys.exit(main())
