"""What is wrong with a command's words, in one line: tyro draws a box."""

import contextlib
import io
import re
import sys

import tyro

BOX = "│╭╮╰╯─ "
BAD_USAGE = 2  # exit code


def parsed(command, arguments, **options):
    """tyro.cli, whose box about wrong words becomes one line on standard error. Raises SystemExit too."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(command, args=arguments, **options)
    except SystemExit as end:
        if end.code == BAD_USAGE:
            print(f"{options['prog']}: {one_line(said.getvalue())}", file=sys.stderr)
        raise


def one_line(box):
    """The first paragraph of a box, and the flag that was perhaps meant."""
    rows = [line.strip(BOX) for line in box.splitlines()[1:]]  # the first is the title
    paragraphs = [" ".join(part.split()) for part in re.split(r"\n\n+", "\n".join(rows)) if part.strip()]
    meant = [part for part in paragraphs if part.startswith("Perhaps you meant: ")]
    first = paragraphs[0].rstrip(".") if paragraphs else "wrong words"
    flag = f"; perhaps you meant {meant[0].split()[3]}" if meant else ""
    return f"{first}{flag}; --help lists what there is"
