"""What fails, is missing or loses the GPU is said by bench.gpu, and takes nothing else along."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.gpu import rows
from bench.gpu.part import run as run_part
from bench.gpu.setting import MINIATURE
from bench.gpu.stages import kernels
from bench.gpu.tables import LIBRARIES, trainer_of
from minigpt.errors import ConfigError
from tests.support.cuda import fake_cublaslt


def test_torch_is_timed_before_what_may_lose_the_gpu(cupy):
    from bench.gpu.stages import steps

    order = steps.most_telling_first({"fast": 1, "cublaslt": 2, "cudnn": 3}, {"torch": 4})
    assert list(order.items()) == [("fast", 1), ("torch", 4), ("cublaslt", 2), ("cudnn", 3)]


def test_products_that_cublaslt_would_not_do_are_listed(cupy, monkeypatch):
    from bench.gpu.stages import steps

    monkeypatch.setattr(fake_cublaslt, "REFUSE", {"DGELU"})
    monkeypatch.setattr(steps, "torch_peers", lambda *given: {})
    put = []
    steps.run(MINIATURE._replace(batches=(1, 2)), "B 2", put.append)
    (row,) = [row for row in put if "for" in row]
    assert row["for"] == ["DGELU 16 x 16 x 64 14"]
    assert not any("error" in row for row in put if "cublaslt" in row["name"])


def test_a_library_that_fails_hides_nobody_elses_gradients(cupy, monkeypatch):
    from bench.gpu.stages import gradients

    def planted(name, *given, **options):
        if name == LIBRARIES:
            raise RuntimeError("CUDNN_STATUS_EXECUTION_FAILED")
        return trainer_of(name, *given, **options)

    monkeypatch.setattr(gradients, "trainer_of", planted)
    monkeypatch.setattr(gradients, "torch_says", lambda *given: {"name": "torch in float64"})
    put = []
    gradients.run(MINIATURE, "all", put.append)
    found = {row["name"]: row for row in put}
    assert found["bf16: 17 tensors"]["ok"]
    assert found["fp32: 17 tensors"]["ok"]
    assert found[f"bf16 {LIBRARIES}"] == {
        "name": f"bf16 {LIBRARIES}", "ok": False, "error": "RuntimeError: CUDNN_STATUS_EXECUTION_FAILED",
    }  # fmt: skip


def test_a_batch_that_does_not_fit_is_said_and_a_smaller_one_timed(cupy, monkeypatch):
    from bench.gpu.stages import large

    class Full(large.Ours):
        def step(self):
            if len(self.pair[0]) == 2:
                raise MemoryError("none left")
            return super().step()

    monkeypatch.setattr(large, "Ours", Full)
    put = []
    large.run(MINIATURE, "fast", put.append)
    assert put[0] == {"name": "B 2 fits as predicted", "ok": False, "error": "none left"}
    assert put[1]["name"] == "step of B 1"
    assert put[1]["tokens/s"] == pytest.approx(8e3 / put[1]["ms"])


@pytest.mark.parametrize("part", [LIBRARIES, "fast"])
def test_a_library_that_is_not_installed_is_said_and_no_failure(tmp_path, monkeypatch, part):
    def missing(*given, **options):
        raise ConfigError("attention cudnn: no module named cudnn")

    monkeypatch.setattr("minigpt.kernels.table", missing)
    if part == LIBRARIES:
        run_part("curves", part, tmp_path, True)
        (row,) = rows.read(tmp_path)
        assert row["error"] == "attention cudnn: no module named cudnn"
    else:
        with pytest.raises(ConfigError):
            run_part("curves", part, tmp_path, True)


def test_ranks_share_no_gpu_where_nccl_is_too_old(cupy, monkeypatch):
    from bench.gpu.stages import nccl

    put = []
    monkeypatch.setattr("tests.support.cuda.fake_nccl.get_version", lambda: 22809)
    nccl.run(MINIATURE, "2 ranks", put.append)
    assert put == [{"name": "2 ranks", "error": "NCCL 22809 lets no two ranks share a GPU; 23000 does"}]


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

    told, one = [], Peer(99)
    found = in_turn({"one": one, "two": Peer(3)}, 2, 2, lambda *what: told.append(what))
    assert len(found["one"][0]) == 4
    assert one.made == 6  # in each turn one to warm up
    assert len(found["two"][0]) == 2  # of the first turn
    assert found["two"][1] == "MemoryError: none left"
    assert told[-1] == ("two", 1, "MemoryError: none left")


def test_who_has_lost_the_gpu_takes_no_times_along(cupy):
    from bench.gpu.timing import in_turn

    lost = []

    class Peer:
        def step(self):
            if lost:
                raise RuntimeError("lost")

        free = step

    class Loses(Peer):
        def step(self):
            lost.append(True)
            raise RuntimeError("illegal address")

    found = in_turn({"one": Peer(), "two": Loses(), "three": Peer()}, 2, 1, lambda *what: None)
    assert len(found["one"][0]) == 1
    assert found["one"][1] == "RuntimeError: lost"
    assert found["two"] == (None, "RuntimeError: illegal address")
    assert found["three"] == (None, "RuntimeError: lost")


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


@pytest.mark.parametrize(
    "said",
    [
        "CUDARuntimeError: cudaErrorLaunchFailure: unspecified launch failure",
        "CUDADriverError: CUDA_ERROR_LAUNCH_FAILED: unspecified launch failure",
        "CUDADriverError: CUDA_ERROR_MISALIGNED_ADDRESS: misaligned address",
        "CUBLASError: CUBLAS_STATUS_EXECUTION_FAILED",
    ],
)
def test_a_lost_gpu_is_known_by_what_is_said(said):
    assert any(word in said for word in kernels.LOST)
    assert not any(word in "cudaErrorMemoryAllocation: out of memory" for word in kernels.LOST)
