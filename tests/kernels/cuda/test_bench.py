"""bench.gpu in miniature: its stages on the stand-in, its deadlines, what becomes of a stage that fails."""

import json

import pytest

from bench.gpu import __main__ as program
from bench.gpu import stages

pytestmark = pytest.mark.emulation


@pytest.fixture
def tiny(bench, monkeypatch):
    monkeypatch.setattr(stages, "empty_pools", lambda: None)
    monkeypatch.setattr(stages, "ROUNDS", 1)


@pytest.mark.usefixtures("tiny")
def test_stages_run_to_their_end():
    assert abs(stages.smoke(tiny=True)["loss of one step"] - 4.2) < 0.3
    found = stages.curves(tiny=True)
    assert found["two runs equal"]
    assert found["float32, first 100"] < 1e-4
    assert found["apart from numpy"]["bfloat16"] < 0.05
    assert found["apart from numpy"]["numpy"] == 0
    found = stages.steps(tiny=True)["B 2"]
    assert found["bfloat16"]["tokens_per_second"] > 0
    assert found["float32"]["ms"] > 0
    json.dumps(found)


def test_a_run_that_fails_is_named_and_the_others_are_timed():
    def failing():
        raise MemoryError("none left")

    found = stages.timed({"one": lambda: None, "two": failing})
    assert found["one"] >= 0
    assert found["two"] == "MemoryError: none left"


def test_each_stage_is_kept_whatever_becomes_of_the_next(tmp_path, monkeypatch, capsys):
    smoke = "import json; print('noise'); print(json.dumps(dict(a=1)))"
    given = {"smoke": ["-c", smoke], "kernels": ["-c", "import os; os.abort()"]}
    given |= {"steps": ["-c", "import time; time.sleep(60)"], "curves": ["-c", "print('no json')"]}
    run, seen = program.subprocess.run, []

    def instead(command, timeout, **options):
        name = command[3]
        seen.append(json.loads((tmp_path / "results.json").read_text()) if seen else {})
        return run([command[0], *given[name]], timeout=min(timeout, 2), **options)

    monkeypatch.setattr(program.subprocess, "run", instead)
    assert program.Bench(out=str(tmp_path), stages="smoke,kernels,steps,curves,none").run() == 1
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["smoke"]["a"] == 1
    assert results["kernels"]["error"].startswith("exit code -6")
    assert results["steps"]["error"].startswith("not done after")
    assert "no json" in results["curves"]["error"]
    assert "no such stage" in results["none"]["error"]
    assert [len(found) for found in seen] == [0, 1, 2, 3]
    assert program.Bench(budget=1, out=str(tmp_path), stages="smoke").run() == 1
    assert json.loads((tmp_path / "results.json").read_text())["smoke"]["error"] == "no time was left"
