"""reference/README.md: its session is run, line by line; it names every flag, fault and field there is."""

import dataclasses
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from reference.__main__ import main
from reference.check import Check
from reference.diff import Diff
from reference.diff.faults import catalogue
from reference.dump import Dump
from reference.kit import Kit
from reference.trace import Trace
from tests.support.questions import Sizes, inputs

ROOM = Path(__file__).parents[2] / "reference"
README = (ROOM / "README.md").read_text()
NUMBER = re.compile(r"(?<![\w\[.=-])-?\d[\d,]*(?:\.\d+)?(?:e[-+]\d+)?(?![\w\]])")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


ROW = re.compile(r"[a-z0-9_]+(\[\d\])? +(\d+x)+\d+ ")


def session():
    """(command, the lines that it is said to print) of every console block, in order."""
    for block in blocks("console"):
        for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *lines = step.rstrip("\n").split("\n")
            yield command, lines


def printed_by(command, capsys):
    """What a command prints; reference's own run in this process, which is faster."""
    if command.startswith("python -m reference "):
        capsys.readouterr()
        assert main(shlex.split(command)[3:]) in (0, 1)
        return capsys.readouterr().out
    line = command.replace("python", shlex.quote(sys.executable), 1)
    return subprocess.run(line, shell=True, check=True, capture_output=True, text=True).stdout


def test_the_session_prints_what_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (program,) = (block for block in blocks("python") if block.startswith("# mine.py"))
    (tmp_path / "mine.py").write_text(program)
    steps = list(session())
    assert len(steps) == 9
    for command, lines in steps:
        assert_alike(lines, printed_by(command, capsys).rstrip("\n").split("\n"), command)


def assert_alike(said, found, command):
    """The same words and counts; "..." stands for any lines."""
    said, found = ([*map(comparable, lines)] for lines in (said, found))
    if not said:
        assert found == [""], command
        return
    if said[0] == "...":
        said, found = said[1:], found[len(found) - len(said) + 1 :]
    assert [words(line) for line in said] == [words(line) for line in found], command
    for line, other in zip(said, found, strict=True):
        pairs = zip(NUMBER.findall(line), NUMBER.findall(other), strict=True)
        assert all(alike(*pair) for pair in pairs), (line, other)


def comparable(line):
    """A line without what another processor's order of sums decides.

    The place of the largest error: erf and tanh differ most at a smooth maximum, near which many numbers lie.
    Ulps: those of the number that happens to be nearest to 0.
    """
    line = re.sub(r"[\d.e+]+ ulp", "ulp", line.partition("largest error at")[0])
    return line[:66] + line[74:] if ROW.match(line) else line


def words(line):
    """A line with its numbers taken out, white space apart."""
    return NUMBER.sub("#", line).split()


def alike(said, found):
    """Counts exactly; ten digits and more to a billionth; errors, which depend on sums' order, fourfold."""
    if "." not in said + found and "e" not in said + found:
        return said == found or len(said) >= 3  # "266 times the budget" may be 265
    x, y = (float(number.replace(",", "")) for number in (said, found))
    if len(said.partition(".")[2]) >= 10:
        return abs(x - y) <= 1e-9 * abs(x)
    return max(abs(x), abs(y)) < 1e-12 or abs(y) / 4 <= abs(x) <= 4 * abs(y)  # below: 1 - cosine is rounding


@pytest.mark.parametrize(("said", "found", "same"), [
    ("all 20 tensors", "all 21 tensors", False), ("error 5.9e-08", "error 8.1e-08", True),
    ("error 5.9e-08", "error 5.9e-06", False), ("loss 4.433382088005", "loss 4.433382098005", False),
    ("fch[0] differs", "fch[1] differs", False), ("0.5 4.4e-16", "0.5 2.2e-16", True), ("rc", "rd", False),
])  # fmt: skip
def test_what_counts_as_the_same(said, found, same):
    try:
        assert_alike([said], [found], "")
    except AssertionError:
        assert not same
    else:
        assert same


def test_every_flag_is_named_and_every_named_flag_is_there():
    flags = {command: {field.name for field in dataclasses.fields(command)} for command in
             (Check, Dump, Diff, Kit, Trace)}  # fmt: skip
    assert flags_in(README) <= set.union(*flags.values()) | {"help"}
    for command in (Dump, Diff):
        (section,) = re.findall(rf"^### {command.__name__.lower()}\n(.*?)^### ", README, re.M | re.S)
        assert flags[command] - {"ref", "mine"} <= flags_in(section)


def flags_in(text):
    """The names of the fields whose flags a text holds."""
    return {flag.replace("-", "_").removeprefix("no_") for flag in re.findall(r"--([a-z][a-z-]+)", text)}


def test_the_catalogue_is_the_catalogue():
    table = README.partition("#### The catalogue")[2]
    names = "".join(re.findall(r"^\| (`.*?) \|", table, re.MULTILINE))
    named = set(re.findall(r"`([a-z][a-z0-9-]+)`", names))
    question = inputs(Sizes(L=2, H=2, D=4, V=20, N=8, B=2, T=6), 3, ignored=True)
    faults = {fault.name for fault in catalogue(question.sizes, question.targets)}
    assert named <= faults
    assert all(re.match("order-|transposed-", name) for name in faults - named)


def test_the_exit_codes_and_the_fields_of_json_are_named(tmp_path, capsys):
    reference = str(tmp_path / "ref")
    assert Dump(out=reference, random="n_layer=1", names="ln1").run() == 0
    capsys.readouterr()
    assert Diff(reference, reference, json=True, runs=2).run() == 0
    report = json.loads(capsys.readouterr().out)
    section = README.partition("JSON has")[2].partition("####")[0]
    fields = set(re.findall(r"`([a-z_]+)`", section)) - {"within", "differs"}
    assert {*report, *report["tensors"][0]} <= fields
    from reference.diff.report import EXIT_CODES

    told = dict(re.findall(r"^\| (\d) \| `(\w+)` \|", README, re.MULTILINE))
    assert told == {str(code): word for word, code in EXIT_CODES.items()}


def test_links_lead_to_files():
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    assert [link for link in links if not (ROOM / link).exists()] == []
