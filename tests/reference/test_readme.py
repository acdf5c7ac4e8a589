"""reference/README.md: its session is run, line by line; it names every flag, fault and field there is."""

import dataclasses
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from reference.check import Check
from reference.diff import Diff
from reference.diff.faults import catalogue
from reference.dump import Dump
from reference.kit import Kit
from reference.tools import main
from reference.trace import Trace
from tests.support.printed import assert_alike
from tests.support.questions import Sizes, inputs

ROOM = Path(__file__).parents[2] / "reference"
README = (ROOM / "README.md").read_text()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


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
