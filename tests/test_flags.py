"""Every flag of every command, given nonsense: exit code 2, one line, and nothing written.

The flags are those of the dataclasses, so a new one is tried too; tests/support/commands.py must say what it
is about.
"""

import dataclasses
import math
import os
import re
import signal
import socket
import tempfile
from pathlib import Path

import pytest

from minigpt import cli
from minigpt.usage import parsed
from tests.support.commands import (
    CHOICE,
    EITHER,
    FILE,
    FOLDER,
    KINDS,
    NEW_FILE,
    NEW_FOLDER,
    Place,
    fields,
    leaves,
)

LEAVES = {leaf.name: leaf for leaf in leaves()}
FLAGS = [(leaf, field, kinds) for leaf in LEAVES.values() for field, kinds in fields(leaf)]
NUMBERS = [(leaf, field, kind) for leaf, field, kinds in FLAGS for kind in (int, float) if kind in kinds]
NO_NUMBER = ["many", "", "1,5"]
BAD = {
    int: [-1, -(10**30), 10**30],
    float: [math.nan, math.inf, -math.inf, -1.0, -1e308],
}


@pytest.fixture(scope="module")
def example():
    with tempfile.TemporaryDirectory() as folder:  # where nobody may work too, unlike in tmp_path
        Path(folder).chmod(0o777)
        yield Place(Path(folder))


@pytest.fixture
def place(example):
    yield example
    example.clear()


def good(place, leaf):
    """A good call, as a command object."""
    if leaf.name not in place.parsed:
        place.parsed[leaf.name] = parse(place, leaf)
    return place.parsed[leaf.name]


def parse(place, leaf):
    return parsed(cli.Command, place.words(leaf), prog="minigpt", config=cli.STYLE)


def changed(command, **values):
    """A command with other values; those of `tokenize train` and the like stand in its action."""
    if hasattr(command, "action"):
        return dataclasses.replace(command, action=dataclasses.replace(command.action, **values))
    return dataclasses.replace(command, **values)


def refused(place, capsys, run, names=()):
    """Whether run() ends with code 2, one line that names all of names, and nothing written; the line."""
    before = place.files()
    try:
        code = run()
    except SystemExit as end:
        code = end.code
    out, err = capsys.readouterr()
    assert code == 2, (code, out, err)
    if err:
        assert out == ""
        assert re.fullmatch(r"minigpt: [^\n]+\n", err), err
    else:  # inspect's verdicts are what it was asked for
        assert re.search(r"^verdict: not usable\. [^\n]+\n\Z", out, re.MULTILINE), out
    for name in names:
        assert name in err
    assert place.files() == before
    return err


def names_of(name):
    """How a line may speak of a field."""
    return {name, "--" + name.replace("_", "-"), name.replace("_", "-")}


def test_every_flag_of_words_says_what_it_is_about():
    for leaf in LEAVES.values():
        of_words = {field.name for field, kinds in fields(leaf) if kinds & {str, tuple}}
        assert of_words == set(KINDS[leaf.name]), leaf.name


def test_a_good_call_of_every_command_is_good(place, capsys):
    """Else refusals would show nothing. download alone is left out: it asks the network."""
    for leaf in LEAVES.values():
        if leaf.name != "download":
            assert cli.main(place.words(leaf)) == 0, leaf.name
            place.clear()  # for the next


# numbers


@pytest.mark.parametrize(("leaf", "name"), [(leaf.name, field.name) for leaf, field, _ in NUMBERS])
def test_what_is_no_number_is_refused(place, capsys, leaf, name):
    flag = "--" + name.replace("_", "-")
    for value in NO_NUMBER:
        words = [*place.words(LEAVES[leaf]), flag, value]
        assert flag in refused(place, capsys, lambda words=words: cli.main(words))


@pytest.mark.parametrize(
    ("leaf", "name", "value"),
    [(leaf.name, field.name, value) for leaf, field, kind in NUMBERS for value in BAD[kind]],
)
def test_a_number_out_of_range_is_refused(place, capsys, leaf, name, value):
    command = changed(good(place, LEAVES[leaf]), **{name: value})
    line = refused(place, capsys, lambda: cli.carried_out(command))
    assert any(word in line for word in names_of(name)), line


# choices


@pytest.mark.parametrize(
    ("leaf", "name"), [(leaf, name) for leaf in KINDS for name, kind in KINDS[leaf].items() if kind == CHOICE]
)
def test_what_is_no_choice_is_refused(place, capsys, leaf, name):
    for value in ("nonsense", "", "None", "FLOAT32", "é\n"):
        command = changed(good(place, LEAVES[leaf]), **{name: value})
        line = refused(place, capsys, lambda command=command: cli.carried_out(command))
        assert any(word in line for word in names_of(name)), line


# files

PATHS_OF = [(leaf, name, kind) for leaf, kinds in KINDS.items() for name, kind in kinds.items()]
OLD = [path for path in PATHS_OF if path[2] in (FILE, FOLDER, EITHER)]
NEW = [path for path in PATHS_OF if path[2] in (NEW_FILE, NEW_FOLDER)]


class Nasty:
    """Paths of every kind that is no good file."""

    def __init__(self, root):
        self.root = root
        (root / "folder").mkdir()
        (root / "empty").write_bytes(b"")
        (root / "empty.bin").write_bytes(b"")
        (root / "empty.json").write_bytes(b"")
        (root / "text").write_text("To be, or not to be. " * 20)
        os.mkfifo(root / "fifo")
        os.mkfifo(root / "fifo.bin")
        (root / "loop").symlink_to(root / "loop")
        (root / "dangling").symlink_to(root / "nowhere")
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(root / "socket"))
        for name in ("secret", "secret.bin", "secret.json"):
            (root / name).write_text("To be, or not to be. " * 20)
            (root / name).chmod(0)
        (root / "closed").mkdir()
        (root / "closed" / "inside").write_text("To be, or not to be. " * 20)
        (root / "closed").chmod(0)


@pytest.fixture(scope="module")
def nasty():
    with tempfile.TemporaryDirectory() as folder:  # where another user may look, unlike tmp_path
        Path(folder).chmod(0o755)
        found = Nasty(Path(folder))
        yield found.root
        found.socket.close()


class WaitedForEver(BaseException):
    """No Exception: a command must not take it for one of its own."""


@pytest.fixture
def hurry():
    """A call that waits for something ends with an error instead of holding up the tests."""

    def late(number, frame):
        raise WaitedForEver

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def nobody():
    """Without root's right to read everything."""
    if os.geteuid() == 0:
        os.seteuid(65534)
        yield
        os.seteuid(0)
    else:
        yield


PATHS = ("nowhere", "nowhere/at/all", "folder", "empty", "empty.bin", "empty.json", "text/below", "loop",
         "dangling", "fifo", "fifo.bin", "socket", "x" * 300, "/dev/null",
         "/dev/null/below", "/proc/self/mem", "")  # fmt: skip


def with_file(place, leaf, name, path):
    """A good call of a command, but for one file."""
    command = good(place, LEAVES[leaf])
    kinds = {field.name: kinds for field, kinds in fields(LEAVES[leaf])}
    more = {}
    if (leaf, name) == ("evaluate", "hellaswag"):
        more = {"data": None, "tokens": type(command)().tokens}
    if (leaf, name) == ("evaluate", "write_bin"):
        more = {"data": None, "tokens": type(command)().tokens, "hellaswag": str(place.hellaswag)}
    return changed(command, **more, **{name: (path,) if tuple in kinds[name] else path})


CLOSED = ("secret", "secret.bin", "secret.json", "closed", "closed/inside")  # to all but root
FINE = {("sample", "prompt_file", path) for path in ("empty", "empty.bin", "empty.json", "/dev/null")}


@pytest.mark.usefixtures("hurry")
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path[:20] or "empty name")
@pytest.mark.parametrize(("leaf", "name", "kind"), OLD)
def test_a_file_that_is_none_is_refused(place, nasty, capsys, leaf, name, kind, path):
    command = with_file(place, leaf, name, path and str(nasty / path))
    if (leaf, name, path) in FINE:  # an empty prompt is the beginning of a document
        assert cli.carried_out(command) == 0
        return
    refused(place, capsys, lambda: cli.carried_out(command))


@pytest.mark.usefixtures("hurry")
@pytest.mark.parametrize("path", CLOSED)
@pytest.mark.parametrize(("leaf", "name", "kind"), OLD)
def test_a_file_that_may_not_be_read_is_refused(place, nasty, capsys, nobody, leaf, name, kind, path):
    command = with_file(place, leaf, name, str(nasty / path))
    refused(place, capsys, lambda: cli.carried_out(command))


UNFIT = ("text/below", "loop/below", "dangling/below", "x" * 300, "/dev/null/below", "/proc/nowhere/new", "")
UNFIT_FOR = {
    NEW_FILE: ("folder", "fifo", "socket", "/dev/null", "/dev/full", "/proc/self/mem"),  # nothing to replace
    NEW_FOLDER: ("text", "fifo", "socket", "/dev/null", "dangling", "loop"),
}


@pytest.mark.usefixtures("hurry")
@pytest.mark.parametrize(
    ("leaf", "name", "path"),
    [(leaf, name, path) for leaf, name, kind in NEW for path in (*UNFIT, *UNFIT_FOR[kind])],
)
def test_a_place_that_cannot_be_written_to_is_refused(place, nasty, capsys, leaf, name, path):
    command = with_file(place, leaf, name, path and str(nasty / path))
    refused(place, capsys, lambda: cli.carried_out(command))


@pytest.mark.usefixtures("hurry")
@pytest.mark.parametrize("path", ["closed/new", "new"])
@pytest.mark.parametrize(("leaf", "name", "kind"), NEW)
def test_a_place_that_may_not_be_written_to_is_refused(place, nasty, capsys, nobody, leaf, name, kind, path):
    command = with_file(place, leaf, name, str(nasty / path))
    refused(place, capsys, lambda: cli.carried_out(command))
