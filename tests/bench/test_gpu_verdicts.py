"""What bench.gpu says of what it finds: planted faults must be called bad."""

from types import SimpleNamespace

import numpy as np
import pytest

from bench.gpu import question
from bench.gpu.setting import GPU, MINIATURE, TINY
from bench.gpu.tables import LIBRARIES
from minigpt.comm import World
from minigpt.memory import step_bytes


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
    put.clear()
    both = {
        "fast": ([3.0], None),
        "cudnn": ([2.0], None),
        "float32": ([1.0], None),
    }  # which is not in bfloat16
    steps.verdicts(TINY, 100, "B 2", both, put.append)
    assert put[0]["table"] == "cudnn"
    put.clear()  # what was timed before a failure counts
    steps.verdicts(TINY, 100, "B 2", {"fast": ([2.0], "lost"), "torch.compile": ([1.0], "lost")}, put.append)
    assert put[1]["ratio"] == 0.5


def test_runs_that_end_in_other_weights_are_not_the_same_bits(cupy, monkeypatch):
    from bench.gpu.stages import curves

    class Changing:
        made = 0

        def __init__(self):
            Changing.made += 1
            self.params = SimpleNamespace(buffer=np.full(3, float(Changing.made)))

        def step(self, *pair):
            return 4.0

    monkeypatch.setattr(curves, "trainer_of", lambda *given, **options: Changing())
    monkeypatch.setattr(curves, "against_torch", lambda *given: None)
    put = []
    curves.run(MINIATURE, LIBRARIES, put.append)
    assert [row["ok"] for row in put if "ok" in row] == [False]


def test_a_peak_below_the_prediction_is_as_bad_as_one_above(cupy, monkeypatch):
    from bench.gpu.stages import memory

    for factor in (0.9, 1.1):
        put, exact = [], step_bytes
        shifted = lambda *given, **ways: {"all": factor * sum(exact(*given, **ways).values())}  # noqa: B023, E731
        monkeypatch.setattr(memory, "step_bytes", shifted)
        memory.run(MINIATURE, "B 2 x 1 fast", put.append)
        assert [row["ok"] for row in put] == [False]


def test_operations_a_token_as_llmc_counts_them(cupy):
    from bench.gpu.stages import steps

    assert steps.llmc_flops(GPU.model) == 6 * 124_475_904 + 6 * 12 * 768 * 1024
    assert GPU.message == 124_475_904


def test_launches_that_take_longer_than_their_step_are_bad(cupy, monkeypatch):
    from bench.gpu.stages import launches

    monkeypatch.setattr(launches, "between_events", lambda function: (function(), 1e-6)[1])
    put = []
    launches.run(MINIATURE, "fast", put.append)
    assert [row["ok"] for row in put if "ok" in row] == [False]
