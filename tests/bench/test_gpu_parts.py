"""What bench.gpu is made of: rows, deadlines, the table, and that its verdicts can be bad ones."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bench.gpu import question, rows, table
from bench.gpu.plan import Stage, whole
from bench.gpu.runner import Runner
from bench.gpu.setting import GPU, MINIATURE, TINY
from minigpt.comm import World
from tests.support.cuda import emulated_cupy

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


def test_all_parts_of_a_stage_run_several_at_once(tmp_path, monkeypatch):
    wait = "import pathlib\npathlib.Path({0!r}).touch()\nwhile not pathlib.Path({1!r}).exists(): pass"
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    runner = planted(tmp_path, a=wait.format(a, b), b=wait.format(b, a))
    stages = {"pair": Stage("pair", lambda setting: ["a", "b"], 60, together=2)}
    monkeypatch.setattr("bench.gpu.runner.STAGES", stages)
    runner.stage("pair")
    assert ends(tmp_path) == {"a": "done", "b": "done"}
    assert whole(MINIATURE) == ["all"]


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


# Verdicts: planted faults must be called bad ---------------------------------------------------------------


@pytest.fixture
def cupy():
    with emulated_cupy() as cupy:
        yield cupy
    for name in [name for name in sys.modules if name.startswith(("bench.gpu.stages.", "bench.gpu.timing"))]:
        del sys.modules[name]  # they hold the stand-in


@pytest.fixture(scope="module")
def expected():
    return question.worked_out(question.SMALL, 2)


def test_a_wrong_gradient_is_over_its_budget(cupy, expected):
    from bench.gpu.stages import gradients

    exact = {name: np.full(4, norm / 2) for name, norm in expected["norms"].items()}
    exact["loss"] = np.float64(expected["loss"])
    assert gradients.judged("bf16", exact, exact, expected["bf16"])["ok"]
    wrong = exact | {"wpe.weight": 1.5 * exact["wpe.weight"]}
    row = gradients.judged("bf16", wrong, exact, expected["bf16"])
    assert not row["ok"]
    assert row["over"] == [row["worst"]] == ["wpe.weight"]
    assert not gradients.judged("bf16", exact | {"loss": np.float64(np.nan)}, exact, expected["bf16"])["ok"]
    grads = {name: value for name, value in exact.items() if name != "loss"}
    assert gradients.same_question(expected, expected["loss"], grads)["ok"]
    assert not gradients.same_question(expected, expected["loss"] * 1.001, grads)["ok"]


def test_budgets_at_hand_are_of_the_question_that_is_asked():
    found = question.budgets_of(question.GPT2)
    assert found["sizes"] == vars(question.GPT2)
    names = set(question.gradient_names(question.GPT2).values())
    assert len(names) == 148
    assert set(found["norms"]) == names
    for mode in question.MODES:
        assert set(found[mode]) == names | {"loss"}
        assert all(
            0 < bound < found["norms"].get(name, found["loss"]) for name, (_, bound, _) in found[mode].items()
        )


def test_wrong_sums_of_ranks_are_bad(cupy):
    from bench.gpu.stages import nccl

    class Lazy(World):
        size = 2

        def all_reduce(self, array):
            array.fill(array.size % 7)

        def all_gather(self, shard, into):
            into.fill(into.size % 7)

        reduce_scatter = all_reduce

    assert [row["ok"] for row in nccl.exchanges(cupy, Lazy(), MINIATURE)] == [False] * 3


def test_the_peak_counts_what_is_held_at_once(cupy):
    from bench.gpu.watching import Peak

    with Peak() as peak:
        a = cupy.zeros(1000, np.float32)
        del a
        b = cupy.zeros(500, np.float32)
        c = cupy.zeros(100, np.float32)
    assert peak.most == 4000
    assert peak.live == b.nbytes + c.nbytes


def test_verdicts_on_speed(cupy):
    from bench.gpu.stages import steps

    put = []
    steps.verdicts(TINY, 100, "B 2", {"fast": ([2.0], None), "torch.compile": ([1.0], None)}, put.append)
    assert [row["ok"] for row in put] == [False, False]
    assert put[1]["ratio"] == 0.5
    put.clear()
    steps.verdicts(TINY, 10**12, "B 2", {"fast": ([1.0], None), "torch.compile": ([1.1], None)}, put.append)
    assert [row["ok"] for row in put] == [True, True]
    put.clear()
    steps.verdicts(TINY, 100, "B 2", {"fast": (None, "MemoryError")}, put.append)
    assert [row["ok"] for row in put] == [False]


def test_operations_a_token_as_llmc_counts_them(cupy):
    from bench.gpu.stages import steps

    assert steps.llmc_flops(GPU.model) == 6 * 124_475_904 + 6 * 12 * 768 * 1024
    assert GPU.message == 124_475_904


def test_one_that_fails_is_named_and_the_others_are_timed(cupy):
    from bench.gpu.timing import in_turn

    class Peer:
        def __init__(self, limit):
            self.made, self.limit = 0, limit

        def step(self):
            self.made += 1
            if self.made > self.limit:
                raise MemoryError("none left")

        def free(self):
            pass

    told = []
    found = in_turn({"one": Peer(99), "two": Peer(3)}, 2, 2, lambda *what: told.append(what))
    assert len(found["one"][0]) == 4
    assert found["two"] == (None, "MemoryError: none left")
    assert told[-1] == ("two", 1, "MemoryError: none left")


FAILING = """
def test_passes(): pass
def test_fails(): assert 1 == 2
def test_loses(): raise RuntimeError("cudaErrorIllegalAddress: an illegal memory access")
def test_after(): pass
"""


def test_each_test_is_a_row_and_a_lost_gpu_ends_the_file(tmp_path):
    (tmp_path / "test_some.py").write_text(FAILING)
    program = (
        "import json, bench.gpu.stages.kernels as k, bench.gpu.setting as s\n"
        "k.run(s.MINIATURE, 'test_some.py', lambda row: print('\\nROW', json.dumps(row)))"
    )
    path = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=path, capture_output=True, text=True
    )
    found = [line for line in ran.stdout.splitlines() if line.startswith("ROW")]
    assert [("passes" in line, '"ok": true' in line) for line in found] == [
        (True, True), (False, False), (False, False), (False, False),
    ]  # fmt: skip
    assert "assert 1 == 2" in found[1]
    assert "cudaErrorIllegalAddress" in found[2]
    assert '"tests": 3' in found[3]
