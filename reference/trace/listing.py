"""Source files for the page: lines of (kind, text), so that comments can be told from code."""

import io
import itertools
import keyword
import token
import tokenize

from reference.trace.source import ROOT

KINDS = {tokenize.COMMENT: "comment", token.STRING: "string", token.NUMBER: "number"}


def listed(file):
    """A file of the repository as lines, each a list of [kind, text]; kind "" for plain text."""
    text = (ROOT / file).read_text(encoding="utf-8")
    lines = text.splitlines()
    kinds = [[""] * len(line) for line in lines]  # of every character
    for part in tokenize.generate_tokens(io.StringIO(text).readline):
        kind = KINDS.get(part.type, "keyword" if keyword.iskeyword(part.string) else "")
        if kind:
            mark(kinds, kind, *part.start, *part.end)
    return [
        [[kind, "".join(char for _, char in run)]
         for kind, run in itertools.groupby(zip(of_line, line, strict=True), lambda pair: pair[0])]
        for of_line, line in zip(kinds, lines, strict=True)
    ]  # fmt: skip


def mark(kinds, kind, first, start, last, stop):
    """Set the kind of all characters from one place to another; lines count from 1."""
    for row in range(first, last + 1):
        begin, end = start if row == first else 0, stop if row == last else len(kinds[row - 1])
        kinds[row - 1][begin:end] = [kind] * (end - begin)
