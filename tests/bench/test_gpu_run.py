"""python -m bench.gpu: everything in miniature on the stand-in; what becomes of it when it is stopped."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from bench.gpu import rows
from bench.gpu.plan import STAGES
from bench.gpu.tables import LIBRARIES

ROOT = Path(__file__).parents[2]
SPEED = ("best of ours", "torch.compile / ", "step of B 2")  # what only a GPU can reach
PATIENCE = 600  # seconds for what takes one


def begun(out, *options, program="bench.gpu"):
    """The program, at work."""
    command = [sys.executable, "-m", program, "--stand-in", "--out", str(out), *options]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_everything_in_miniature(tmp_path):
    pytest.importorskip("torch", reason="torch is not installed, against which most stages measure")
    said, _ = begun(tmp_path, "--budget", "3000", program="tests.bench.forked").communicate()
    found = rows.read(tmp_path)
    ends = [row for row in found if "end" in row]
    assert {row["stage"] for row in ends} == {stage.file for stage in STAGES.values()}
    assert all(row["end"] == "done" for row in ends), said
    bad = [row["name"] for row in found if row.get("ok") is False]
    assert all(any(speed in name for speed in SPEED) for name in bad), said
    named = {row["name"]: row for row in found if "name" in row}
    for name in (
        "one step of a tiny model", "bf16: 17 tensors", "fp32: 17 tensors", f"bf16 {LIBRARIES}: 17 tensors",
        "torch in float64", "B 2 x 2 fast", f"B 2 x 1 {LIBRARIES}", "two runs are the same bits, fast",
        f"two runs are the same bits, {LIBRARIES}", "float32 from numpy, 2 steps",
        "2 ranks: reduce_scatter, rank 1",
    ):  # fmt: skip
        assert named[name]["ok"], name
    for name in ("B 2 fast", f"B 2 {LIBRARIES}", "B 2 reference", "B 2 torch eager", "B 2 torch.compile"):
        assert named[name]["tokens/s"] > 0
    best = named["B 2 best of ours"]["table"]
    assert named[f"B 2 torch eager / {best}"]["ratio"] > 0
    assert sum(bool(row.get("test")) for row in found) > 30
    times = [row for row in found if row["stage"] == "launches" and "launches" in row]
    launched = {part: {row["name"] for row in times if row["part"] == part} for part in ("fast", LIBRARIES)}
    assert {"softmax_forward", "adamw", "layernorm_backward", "product 16 x 16 x 64"} <= launched["fast"]
    libraries = {"cudnn attention, forward", "cudnn attention, backward"}
    libraries |= {"product 16 x 16 x 64 GELU_AUX_BIAS"}
    assert libraries <= launched[LIBRARIES]
    assert not libraries & launched["fast"]
    assert [len(row["for"]) for row in found if "for" in row] == [0]
    table = (tmp_path / "table.txt").read_text()
    assert said.endswith(table)
    assert "B 2 torch.compile" in table
    assert "turn 0" not in table


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_stopped_at_any_moment_it_keeps_what_it_has(tmp_path, number):
    program = begun(tmp_path, "--stages", "smoke,steps")
    wait_for(lambda: any("name" in row for row in rows.read(tmp_path)))
    parts = wait_for(lambda: children(program.pid))
    program.send_signal(number)
    said, _ = program.communicate()
    assert program.returncode == (75 if number == signal.SIGTERM else -signal.SIGKILL)
    wait_for(lambda: all(map(ended, parts)))
    if number == signal.SIGTERM:
        assert "gpu no NVIDIA H100 at all" in said
        assert said.endswith((tmp_path / "table.txt").read_text())
        assert rows.read(tmp_path)[-1]["end"].startswith("stopped")
    shown = subprocess.run(
        [sys.executable, "-m", "bench.gpu.table", str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    assert "gpu no NVIDIA H100 at all" in shown.stdout


def wait_for(happened):
    """What happened() gives, as soon as it is something."""
    end = time.monotonic() + PATIENCE
    while not (found := happened()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


def children(pid):
    """The processes that a process has started, from any of its threads."""
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # the thread has ended since
            found += map(int, path.read_text().split())
    return found


def ended(pid):
    """Whether a process is gone, or is only still to be buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_without_a_gpu_it_says_so_once(tmp_path):
    command = [sys.executable, "-m", "bench.gpu", "--out", str(tmp_path)]
    hidden = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=hidden)
    assert ran.returncode == 1
    assert ran.stderr == "no GPU can be used, so nothing more is tried; --stand-in needs none\n"
    assert [row["stage"] for row in rows.read(tmp_path)] == ["begin", "smoke"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--stages", "smoke,nothing"], "--stages: expected some of smoke,kernels,"),
        (["--budget", "0"], "--budget: expected seconds above 0: found 0"),
        (["--budget", "nan"], "--budget: expected seconds above 0: found nan"),
    ],
)
def test_bad_options_are_refused(tmp_path, options, said):
    program = begun(tmp_path / "none", *options)
    assert said in program.communicate()[0]
    assert program.returncode == 2
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("what", ["tests/gpu", "tests/gpu/test_step.py"])
def test_tests_of_a_gpu_are_not_run_without_one(what):
    hidden = os.environ | {"CUDA_VISIBLE_DEVICES": "", "MINIGPT_TEST_GPU": ""}
    command = [sys.executable, "-m", "pytest", "-v", what]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=hidden)
    assert "tests/gpu: no GPU that CuPy can use: nothing of it is run" in ran.stdout
    assert ran.returncode == pytest.ExitCode.NO_TESTS_COLLECTED


def test_on_a_gpu_files_about_the_emulation_are_empty():
    """A part is a file that is named, which pytest's collect_ignore does not keep out."""
    about = [f"tests/kernels/cuda/test_{name}.py" for name in ("planted_faults", "registers", "sanitizers")]
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", *about]
    paths = os.environ | {"MINIGPT_TEST_GPU": "1"}
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=paths)
    assert ran.returncode == pytest.ExitCode.NO_TESTS_COLLECTED, ran.stdout


def test_a_record_is_made_of_what_was_found(tmp_path):
    (tmp_path / "bench").symlink_to(ROOT / "bench")
    first = {"stage": "begin", "date": "2026-11-28", "commit": "abc", "processor": "", "options": {}}
    for row in (first, {"stage": "smoke", "part": "all", "name": "one", "ok": True}):
        rows.append(tmp_path, row)
    (tmp_path / "bench").unlink()
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "records").mkdir()
    command = [sys.executable, "-m", "bench.gpu.table", str(tmp_path), "--save"]
    paths = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"}
    subprocess.run(command, cwd=tmp_path, check=True, env=paths, capture_output=True)
    record = json.loads((tmp_path / "bench" / "records" / "gpu-2026-11-28-abc.json").read_text())
    assert record["results"] == [{"stage": "smoke", "part": "all", "name": "one", "ok": True}]
    assert record["bench"] == "gpu"


def test_wheels_for_a_machine_without_network_are_what_pyproject_asks_for():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    wheels = (ROOT / "Makefile").read_text().partition("gpu-wheels:")[2].partition("\n\n")[0]
    bindings = [one for one in extras["cupy-more"] if one.startswith(("nvmath", "nvidia-cudnn-frontend"))]
    assert len(bindings) == 2
    assert all(one in wheels for one in bindings)
