"""What documents show: files to be written, Python to be run, commands, and what these are said to print."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
ELSEWHERE = ["scaling.md"]  # tests/test_scaling.py compares every number of it
PAGES = sorted(path for path in (ROOT / "docs").glob("*.md") if path.name not in ELSEWHERE)
DOCUMENTS = [ROOT / "README.md", *PAGES]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"(?:#|//) (\w+\.\w+)(?=[\n:])")  # the first line of a block that is a file
NEEDS = re.compile(r" +# needs (.+?)(?::.*)?$")


class Step(NamedTuple):
    """One thing that a reader does: `kind` is file, python or command."""

    where: str  # document and line
    kind: str
    text: str  # of a file or a program, or the command
    said: list | None = None  # lines that a command is said to print
    name: str = ""  # of the file
    needs: str = ""  # what a command cannot be run without


def steps_of(document):
    """The steps of a document, in order. Raises ValueError for a block of no known kind."""
    content = document.read_text()
    for fence in FENCE.finditer(content):
        where = f"{document.name}:{content.count(chr(10), 0, fence.start()) + 1}"
        yield from steps_in(where, *fence.groups())


def steps_in(where, language, text):
    """The steps of a block. A block without a language is a picture of something, and shows no command."""
    if file := FILE.match(text):
        yield Step(where, "file", text, name=file[1])
    elif language == "python":
        yield Step(where, "python", text)
    elif language == "sh":
        for line in joined(text):
            yield command(where, line)
    elif language == "console":
        for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            first, *said = re.sub(r" *\\\n *", " ", part).rstrip("\n").split("\n")
            yield command(where, first, said)
    elif language or re.search(r"^\$ |^(python|pip|make|minigpt|mpiexec|torchrun|srun) ", text, re.MULTILINE):
        raise ValueError(f"{where}: expected a block of sh, console, python, or a file's, found {language!r}")


def joined(text):
    """The lines of a text that are not blank or comments, those that end in a backslash with their next."""
    lines = re.sub(r" *\\\n *", " ", text).splitlines()
    return [line for line in lines if line.strip() and not line.startswith("# ")]


def command(where, line, said=None):
    """A command's step, without what the comment behind it says."""
    needs = NEEDS.search(line)
    return Step(where, "command", re.sub(r" +# .*$", "", line), said, needs=needs[1] if needs else "")
