"""python -m bench.scaling.document: what docs/scaling.md shows of the program, made anew; the picture too."""

import contextlib
import io
import re
import sys
from pathlib import Path

from bench.scaling.__main__ import main as scaling

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"(```\n\$ python -m bench\.scaling ?(.*)\n)(?:.*\n)*?```")


def renewed(text):
    """The text, with what each of its commands prints now."""
    return BLOCK.sub(lambda block: f"{block[1]}{printed(block[2].split())}```", text)


def printed(arguments):
    """What a command prints."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        scaling(arguments)
    return out.getvalue()


def main():
    page = DOCS / "scaling.md"
    page.write_text(renewed(page.read_text()))
    return scaling(["--plot", str(DOCS / "scaling.svg")])


if __name__ == "__main__":
    sys.exit(main())
