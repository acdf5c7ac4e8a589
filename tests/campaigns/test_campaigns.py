"""The campaigns, in small; and each of them with a fault planted, which it must notice."""

import contextlib
import datetime
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from minigpt import checkpoint, run, saver, shelf
from minigpt.disk import describe
from minigpt.system import flush
from tests.campaigns import Row, _proof, crash, damage, disk_full, resume, signals
from tests.campaigns import __main__ as program
from tests.support.tiny_runs import in_memory

SCALES = {crash: 0.1, damage: 0.02, disk_full: 1.0, resume: 0.05, signals: 0.05}


@pytest.fixture
def folder():
    with in_memory() as path:
        yield Path(path)


@pytest.mark.parametrize("campaign", SCALES, ids=lambda module: module.__name__.rpartition(".")[2])
def test_every_goal_is_reached(campaign):
    rows = campaign.campaign(SCALES[campaign])
    assert rows
    assert [row for row in rows if not row.passed] == []


def plainly(path, pieces):
    """A file that nobody makes last."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for piece in pieces:
        os.write(file, piece)
    os.close(file)
    return describe(path)


def of_temporary(path):
    """A flush that forgets the folder which the checkpoint is renamed in."""
    return path.name.endswith(".tmp") and flush(path)


# what is wrong -> the part that must notice, what is put in place of which function, what to leave out
FAULTS = {
    "files are not fsynced": (crash.cut, checkpoint, "write_file", plainly, 40),
    "names are not fsynced": (crash.cut, checkpoint, "flush", lambda path: None, 40),
    "the new name is not fsynced": (crash.cut_alone, checkpoint, "flush", of_temporary, 40),
    "deleted ones may keep their names": (crash.cut, shelf, "flush", lambda path: None, 3),
    "deleted where it is": (crash.died, shelf, "temporary_of", lambda path: path, 9),
    "moments begin anew": (resume.at_every_step, checkpoint, "fill_moments", lambda *_: None, 20),
    "nothing is compared": (damage.flipped, damage, "checked_record", lambda *_: None, 99),
}


@pytest.mark.parametrize("name", FAULTS)
def test_planted_faults_are_noticed(folder, monkeypatch, name):
    part, where, function, fault, stride = FAULTS[name]
    monkeypatch.setattr(where, function, fault)
    assert not part(folder / "here", stride).passed


def test_a_stop_that_does_not_save_is_noticed(folder, monkeypatch):
    monkeypatch.setattr(signals, "PLACES", {"a step": signals.PLACES["a step"]})
    monkeypatch.setattr(run, "leave", lambda training: 75)
    monkeypatch.setattr(signals, "during_imports", lambda trials: Row("", "", "", True))
    first = signals.campaign(0.05)[0]
    assert not first.passed
    assert first.value == "1 wrong of 1: ('a step', <Signals.SIGINT: 2>)"


def test_a_run_that_a_full_disk_ends_is_noticed(folder, monkeypatch):
    monkeypatch.setattr(saver, "CheckpointError", ())
    whole = folder / "whole"
    disk_full.go(disk_full.recipe(whole, steps=disk_full.STEPS, checkpoint_every=disk_full.EVERY))
    assert not disk_full.limited(folder / "limit", whole, 12_000, "").passed


def test_the_table_shows_failures_as_failures(tmp_path, monkeypatch, capsys):
    rows = {
        "one": [Row("a | goal", "0", "0 of 3", True), Row("small", "intact", "not measured: no mount", True)],
        "two": [Row("other goal", "0 missed", "2 missed of 3", False)],
    }

    def imported(name):
        return SimpleNamespace(campaign=lambda scale: rows[name.rpartition(".")[2]])

    monkeypatch.setattr(program, "names", lambda: ["one", "two", "three"])
    monkeypatch.setattr(program.importlib, "import_module", imported)
    monkeypatch.setattr(_proof, "conditions", lambda: {"commit": "abc+", "hardware": "a machine"})
    at = f"{datetime.date.today()}, abc+"

    def lines():
        return (tmp_path / _proof.TABLE).read_text().splitlines()

    assert program.main(["--scale", "0.1", "--only", "two", "--out", str(tmp_path)]) == 1
    failed = f"| two | other goal | 0 missed | 2 missed of 3 | FAILED | {at} |"
    assert failed in lines()
    assert "| one | | | not run | FAILED | |" in lines()
    assert program.main(["--scale", "0.1", "--out", str(tmp_path)]) == 1
    assert rf"| one | a \| goal | 0 | 0 of 3 | ok | {at} |" in lines()
    assert f"| one | small | intact | not measured: no mount | not measured | {at} |" in lines()
    assert failed in lines()
    assert f"| three | three | ends | KeyError: 'three' | FAILED | {at} |" in lines()
    assert "On a machine." in lines()
    rows["two"], rows["three"] = [Row("other goal", "0 missed", "0 missed of 3", True)], []
    before = lines()
    assert program.main(["--scale", "0.1"]) == 0
    assert lines() == before, "a part of the trials is no proof"
    with contextlib.chdir(tmp_path):
        assert program.main(["--only", "two"]) == 0
        assert f"| two | other goal | 0 missed | 0 missed of 3 | ok | {at} |" in lines()
        assert f"| three | three | ends | KeyError: 'three' | FAILED | {at} |" in lines(), "kept"
        assert program.main([]) == 0
    assert not [line for line in lines() if line.endswith("FAILED | |") or "| FAILED |" in line]


def test_all_campaigns_are_found():
    assert {"crash", "damage", "disk_full", "resume", "signals"} <= set(program.names())
    assert not [name for name in program.names() if name.startswith(("test", "_"))]
