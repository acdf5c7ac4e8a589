"""What bench.gpu says of what it finds: planted faults must be called bad, and hide nothing else."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench.gpu import question, rows
from bench.gpu.part import run as run_part
from bench.gpu.setting import GPU, MINIATURE, TINY
from bench.gpu.stages import kernels
from bench.gpu.tables import LIBRARIES, trainer_of
from minigpt.comm import World
from minigpt.errors import ConfigError
from tests.support.cuda import emulated_cupy, fake_cublaslt


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
    put.clear()  # what was timed before a failure counts
    steps.verdicts(TINY, 100, "B 2", {"fast": ([2.0], "lost"), "torch.compile": ([1.0], "lost")}, put.append)
    assert put[1]["ratio"] == 0.5


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
    put = []
    gradients.run(MINIATURE, "all", put.append)
    found = {row["name"]: row for row in put}
    assert found["bf16: 17 tensors"]["ok"]
    assert found["fp32: 17 tensors"]["ok"]
    assert found[f"bf16 {LIBRARIES}"] == {
        "name": f"bf16 {LIBRARIES}", "ok": False, "error": "RuntimeError: CUDNN_STATUS_EXECUTION_FAILED",
    }  # fmt: skip


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
