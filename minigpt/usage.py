"""What a command's words mean, by tyro: help that fits, and what is wrong with the words in one line."""

import contextlib
import io
import os
import re
import shutil
import sys
import textwrap

import tyro

from minigpt.screen import printable, say, tell

BOX = "│╭╮╰╯─ "
BAD_USAGE = 2  # exit code
HELP = {"-h", "--help"}
LEAST_WIDTH = 40  # columns: tyro takes minutes for 5
NO_WRAP = 100_000  # columns: what a box says is read, and where a line was broken can only be guessed
KINDS = {"INT": "a whole number", "FLOAT": "a number"}


class Caught(io.StringIO):
    """What tyro writes in place of standard output, in the letters and colours that a stream has."""

    def __init__(self, stream=None):
        super().__init__()
        self.stream = stream

    @property
    def encoding(self):
        """Tyro draws with lines in UTF-8 alone."""
        return getattr(self.stream, "encoding", None) or "utf-8"

    def isatty(self):
        """Whether there are colours."""
        return bool(self.stream) and self.stream.isatty()


def parsed(command, arguments=None, **options):
    """tyro.cli, whose box about wrong words becomes one line on standard error. Raises SystemExit too."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    asks_help = not HELP.isdisjoint(words)
    width = max(LEAST_WIDTH, shutil.get_terminal_size().columns)
    shown, box = Caught(sys.stdout if asks_help else None), io.StringIO()
    try:
        with columns(width if asks_help else NO_WRAP):
            with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(box):
                return tyro.cli(command, args=words, **options)
    except SystemExit as end:
        if end.code == BAD_USAGE:
            tell(f"{options['prog'].split()[-1]}: {printable(one_line(box.getvalue(), words))}")
        else:
            say(fitting(shown, width) if asks_help else shown.getvalue())
        raise


@contextlib.contextmanager
def columns(width):
    """As if the terminal had so many columns."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(width)
    try:
        yield
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before


# Help ----------------------------------------------------------------------------------------------------


def first_sentence(doc):
    """What a list of commands says of one: "Train a GPT-2. What is left out ..." -> "Train a GPT-2."."""
    return re.split(r"(?<=\.)\s", doc.strip(), maxsplit=1)[0]


def whole(doc):
    """A docstring as paragraphs of one line each: how wide they are shown is the terminal's to say."""
    return "\n\n".join(" ".join(part.split()) for part in re.split(r"\n\s*\n", doc.strip()))


def fitting(shown, width):
    """Help whose paragraphs are as narrow as its boxes, which tyro wraps, in letters that there are."""
    text = re.sub(r"\n{3,}", "\n\n", shown.getvalue())
    try:
        "•".encode(shown.encoding)
    except UnicodeEncodeError:
        text = text.replace("•", "*")
    usage, *lines = text.splitlines() or [""]
    usage = re.sub(r"\x1b\[[\d;]*m", "", usage)  # colours have no width, but would be counted
    usage = textwrap.fill(usage.replace(",", ", "), width, subsequent_indent=" " * len("usage: "))
    in_box = ("│", "|", "\x1b")
    return "\n".join(
        [usage, *(line if line.startswith(in_box) else textwrap.fill(line, width) for line in lines), ""]
    )


# Wrong words ---------------------------------------------------------------------------------------------


def one_line(box, words):
    """A box in a line: what a value was expected to be; else its first paragraph, and what was meant."""
    rows = [line.strip(BOX) for line in box.splitlines()[1:]]  # the first is the title
    paragraphs = [" ".join(part.split()) for part in re.split(r"\n\n+", "\n".join(rows)) if part.strip()]
    first = paragraphs[0].rstrip(".") if paragraphs else "wrong words"
    if said := about_value(first, " ".join(paragraphs), words):
        return said
    meant = [part for part in paragraphs if part.startswith("Perhaps you meant: ")]
    flag = f"; perhaps you meant {meant[0].split()[3]}" if meant else ""
    return f"{first}{flag}; --help lists what there is"


def about_value(first, text, words):
    """What was expected and found where a flag's value is wrong, "" where something else is."""
    if wrong := re.match(r"Error parsing (--\S+): ", first):
        kind = re.search(rf"helptext: {wrong[1]} (?:\{{None\}}\|)?(INT|FLOAT)\b", text)
        return f"{wrong[1]}: expected {KINDS[kind[1]]}, found {value_of(wrong[1], words)!r}" if kind else ""
    if wrong := re.match(r"invalid choice '(.*)' for argument '(.*?)'\. Expected one of \((.*)\)", first):
        known = re.findall(r"'(.*?)'", wrong[3])
        if "None" in known:  # leaving the flag out says it; tyro has the others in any order
            known = sorted(set(known) - {"None"})
        return f"{wrong[2]}: expected one of {', '.join(known)}, found {wrong[1]!r}"
    if wrong := re.match(r"Missing value for argument '(--.*?)'", first):
        return f"{wrong[1]}: expected a value, found none"
    if wrong := re.match(r"Unrecognized options: (.+)", first):
        for switch, value in after_switches(words):
            if value == wrong[1]:
                return f"{switch}: expected no value, as it is a switch, found {value!r}"
    return ""


def value_of(flag, words):
    """The word that follows a flag, or its "=", where it stands last."""
    for place in range(len(words) - 1, -1, -1):
        name, is_joined, value = words[place].partition("=")
        if name.replace("_", "-") == flag:
            return value if is_joined else " ".join(words[place + 1 : place + 2])
    return ""


def after_switches(words):
    """(flag, word) where a word follows a flag: it is none's value if that is a switch."""
    for word, after in zip(words, [*words[1:], ""], strict=True):
        if word.startswith("--"):
            name, is_joined, value = word.partition("=")
            yield name, value if is_joined else after
