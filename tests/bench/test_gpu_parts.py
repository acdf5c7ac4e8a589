"""What bench.gpu is made of: rows, deadlines, the table, and that its verdicts can be bad ones."""

import signal
import subprocess
import sys
import time
from pathlib import Path

from bench.gpu import rows, table
from bench.gpu.plan import STAGES, Stage, whole
from bench.gpu.runner import Runner
from bench.gpu.setting import GPU, MINIATURE
from bench.gpu.tables import LIBRARIES

# Rows ------------------------------------------------------------------------------------------------------


def test_half_a_row_spoils_no_other(tmp_path):
    for i in range(2):
        rows.append(tmp_path, {"stage": "smoke", "i": i})
    whole_file = (tmp_path / rows.NAME).read_bytes()
    for cut in range(len(whole_file) + 1):
        (tmp_path / rows.NAME).write_bytes(whole_file[:cut])
        before = rows.read(tmp_path)
        rows.append(tmp_path, {"stage": "smoke", "i": 9})
        assert [row["i"] for row in rows.read(tmp_path)] == [*(row["i"] for row in before), 9]


def test_the_newest_run_is_read_and_no_file_is_none(tmp_path):
    assert rows.read(tmp_path) == []
    for row in (
        {"stage": "begin", "n": 1},
        {"stage": "smoke"},
        {"stage": "begin", "n": 2},
        {"stage": "nccl"},
    ):
        rows.append(tmp_path, row)
    assert rows.read(tmp_path) == [{"stage": "begin", "n": 2}, {"stage": "nccl"}]


# Parts -----------------------------------------------------------------------------------------------------


class Planted(Runner):
    """A runner whose parts are programs that are given as text."""

    programs: dict

    def command(self, name, part):
        return [sys.executable, "-c", self.programs[part]]


def planted(tmp_path, seconds=60, **programs):
    runner = Planted(tmp_path, MINIATURE, time.monotonic() + seconds)
    runner.programs = programs
    return runner


def ends(tmp_path):
    return {row["part"]: row["end"] for row in rows.read(tmp_path)}


def test_each_end_is_noted_and_costs_nobody_else(tmp_path):
    runner = planted(
        tmp_path, good="pass", crash="import os; print('why'); os.abort()", error="1 / 0",
        hang="import time; print('so far', flush=True); time.sleep(1e3)",
    )  # fmt: skip
    for part in runner.programs:
        runner.part("kernels", part, 2 if part == "hang" else 60)
    found = ends(tmp_path)
    assert found["good"] == "done"
    assert found["crash"] == "exit code -6\nwhy\n"
    assert "ZeroDivisionError" in found["error"]
    assert found["hang"] == "not done after 2 s\nso far\n"


def test_what_a_part_has_started_ends_with_it(tmp_path):
    note = tmp_path / "pid"
    child = f"import os, time; open({str(note)!r}, 'w').write(str(os.getpid())); time.sleep(1e3)"
    start = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {child!r}])\n"
    wait = f"import os\nwhile not os.path.exists({str(note)!r}) or not open({str(note)!r}).read(): pass"
    planted(tmp_path, parent=start + wait).part("kernels", "parent", 60)
    pid = int(note.read_text())
    end = time.monotonic() + 60
    while (
        Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split(")")[1][:3]
    ):
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_part_ends_with_the_one_that_waits_for_it():
    program = (
        "import time; from bench.gpu.part import end_with; end_with(0); print(1, flush=True); time.sleep(1e3)"
    )
    part = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    assert part.stdout.readline() == b"1\n"
    assert part.poll() is None
    part.stdin.close()
    assert part.wait(60) == -signal.SIGKILL
    part.stdout.close()


def test_what_the_budget_does_not_allow_is_skipped_and_said(tmp_path):
    runner = planted(tmp_path, seconds=10, one="pass")
    runner.part("kernels", "one", 60)
    assert ends(tmp_path) == {"one": "skipped: of the budget 10 s are left"}


def test_no_part_goes_on_when_the_budget_is_used_up(tmp_path, monkeypatch):
    monkeypatch.setattr("bench.gpu.runner.LEAST", 0)
    planted(tmp_path, seconds=2, hang="import time; time.sleep(1e3)").part("kernels", "hang", 60)
    assert ends(tmp_path) == {"hang": "not done after 2 s\n"}


def test_all_parts_of_a_stage_run_several_at_once(tmp_path, monkeypatch):
    wait = "import pathlib\npathlib.Path({0!r}).touch()\nwhile not pathlib.Path({1!r}).exists(): pass"
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    runner = planted(tmp_path, a=wait.format(a, b), b=wait.format(b, a))
    stages = {"pair": Stage("pair", lambda setting: ["a", "b"], 60, together=2)}
    monkeypatch.setattr("bench.gpu.runner.STAGES", stages)
    runner.stage("pair")
    assert ends(tmp_path) == {"a": "done", "b": "done"}
    assert whole(MINIATURE) == ["all"]


def test_the_most_valuable_comes_first():
    assert list(STAGES)[:5] == ["smoke", "kernels", "gradients", "curves", "steps"]
    assert list(STAGES)[-1] == "sanitizers"  # the slowest
    assert STAGES["steps"].parts(GPU) == ["B 64", "B 32"]
    assert STAGES["large"].parts(GPU) == ["fast", LIBRARIES]
    assert all(15 < stage.seconds <= 240 for stage in STAGES.values())


# The table -------------------------------------------------------------------------------------------------


def test_the_table_shows_what_is_bad_and_hides_what_is_summed_up():
    found = [
        {"stage": "kernels", "part": "f", "name": "passes", "test": True, "ok": True},
        {"stage": "kernels", "part": "f", "name": "fails", "test": True, "ok": False, "message": "why"},
        {"stage": "kernels", "part": "f", "end": "done"},
        *(
            {"stage": "steps", "part": part, "name": f"turn of {part}", "turn": 0, "ms": [1.0]}
            for part in "ab"
        ),
        {"stage": "steps", "part": "a", "end": "done"},
        {"stage": "steps", "part": "b", "end": "not done after 9 s"},
        {"stage": "nccl", "part": "2 ranks", "end": "skipped: of the budget 0 s are left"},
    ]
    text = "\n".join(table.lines(found))
    assert "passes" not in text
    assert "why" in text
    assert "turn of a" not in text
    assert "turn of b" in text
    assert text.endswith("1 tests passed; 2 findings are bad; 1 parts skipped")
