"""Ranks on GPUs, without one: whole steps on the stand-in for NCCL, what is exchanged when, the meeting."""

import importlib
import inspect
import json
import os
import secrets
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from minigpt.arrays import Flat
from minigpt.comm import World
from minigpt.errors import CommError
from minigpt.model import param_shapes
from minigpt.ranks import nccl
from minigpt.ranks.gpus import SHARE, check_gpus
from minigpt.ranks.nccl import library
from minigpt.ranks.overdue import Overdue
from minigpt.ranks.spawn import mpiexec
from minigpt.ranks.worlds import met_alone
from tests.ranks.nccl_faults import FAULTS, HARMLESS
from tests.ranks.on_gpus import CONFIG, CONTEXT, ROWS
from tests.ranks.processes import PIPES, by_mpiexec, by_nobody, by_srun, by_torchrun, output, python
from tests.support.cuda import emulated_cupy, fake_nccl, fake_streams
from tests.support.cuda.fake_nccl import NCCL_AVG

U = 2.0**-24
SIZES = (1, 2, 3)
WITH_THREE = ("fp32", "bf16", "bf16 zero", "fp64 zero")
DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp64": "float64"}
PARTS = 6  # in fp64, which costs nothing: all ranks accumulate


def ways(size):
    """(name, dtype, ZeRO-1, parts of the global batch): as many parts as ranks, in fp64 more."""
    parts = {name: PARTS if name == "fp64" else size for name in DTYPES}
    every = [
        (f"{name}{' zero' * zero}", dtype, zero, parts[name])
        for name, dtype in DTYPES.items()
        for zero in (False, True)
    ]
    return every if size < 3 else [way for way in every if way[0] in WITH_THREE]


AGAIN = ("fp32", "bf16 zero")  # what a second run shows


def ask(ways, shown, alone=()):
    """A command for ranks."""
    return "tests.ranks.gpu_steps", json.dumps({"ways": ways, "shown": shown, "alone": alone})


def references():
    """What one process without a world does, on as many parts as there are ranks."""
    for name, dtype in DTYPES.items():
        yield from ((f"{name} {n}", dtype, PARTS if name == "fp64" else n) for n in SIZES)


@pytest.fixture(scope="module")
def runs():
    """What 1, 2, 3 ranks came to; "again": 2 that torchrun started, which are shown one GPU each."""
    with ThreadPoolExecutor() as pool:
        again = [way for way in ways(2) if way[0] in AGAIN]
        running = {size: pool.submit(by_mpiexec, size, *ask(ways(size), size)) for size in SIZES[1:]}
        running["again"] = pool.submit(by_torchrun, 2, *ask(again, shown=1))
        running[1] = pool.submit(by_nobody, *ask(ways(1), 1, list(references())))
        return {size: json.loads(run.result()[0]) for size, run in running.items()}


CASES = [(size, name) for size in SIZES for name, *_ in ways(size)]


@pytest.mark.parametrize(("size", "name"), CASES)
def test_ranks_take_the_course_of_one_process(runs, size, name):
    """The loss of the first step to the roundings of a sum; later ones to those of the weights.

    One process scales each part's gradients by 1 / parts, ranks take the mean at the end. Halves are exact;
    thirds are rounded to bfloat16 differently, which is one rounding of it.
    """
    found, expected = runs[size][name][0], runs[1][f"Alone, {name.split()[0]} {size}"][0]
    first, *later = np.abs(np.subtract(found["losses"], expected["losses"])) / expected["losses"]
    norms = np.abs(np.subtract(found["norms"], expected["norms"])) / expected["norms"]
    unit = 2.0**-53 if name.startswith("fp64") else U
    assert found["reasons"] == ["", ""]
    assert first <= ROWS * CONTEXT * unit
    if name.startswith("fp64"):
        assert max(*later, *norms) <= 1e-12
        assert np.allclose(found["sums"], expected["sums"], rtol=1e-12, atol=0)
    else:
        assert max(*later, *norms) <= (2.0**-9 if (size, name[:4]) == (3, "bf16") else 64 * U)


@pytest.mark.parametrize("name", [name for name, *_ in ways(1)])
def test_one_rank_is_one_process_bit_for_bit(runs, name):
    for what in ("hash", "moments"):
        assert runs[1][name][0][what] == runs[1][f"Alone, {name.split()[0]} 1"][0][what]


@pytest.mark.parametrize(("size", "name"), CASES)
def test_all_ranks_have_the_same_bits(runs, size, name):
    assert len(runs[size][name]) == size
    assert len({one["hash"] for one in runs[size][name]}) == 1


@pytest.mark.parametrize("name", AGAIN)
def test_two_runs_have_the_same_bits_whoever_starts_them(runs, name):
    assert runs["again"][name] == runs[2][name]


def test_each_rank_stays_on_its_own_gpu(runs):
    assert [runs[size]["gpus"] for size in SIZES] == [[0], [0, 1], [0, 1, 2]]
    assert runs["again"]["gpus"] == [0, 0]  # srun --gpus-per-task=1: the only one that is shown


def test_zero_holds_a_share_of_the_moments(runs):
    whole = runs[3]["bf16"][0]["held"]
    assert [one["held"] for one in runs[3]["bf16 zero"]] == [whole // 3] * 3


# What is exchanged, and when --------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "name"), [case for case in CASES if "zero" not in case[1]])
def test_a_block_is_sent_as_soon_as_its_gradients_are_final(runs, size, name):
    flat = Flat.zeros(param_shapes(CONFIG))
    blocks = ["ln_f.", "h.1.", "h.0.", "wpe.", "wte."]  # in the order in which backward is done with them
    for one in runs[size][name]:
        *groups, number = one["exchanges"]
        assert len(groups) == len(blocks)
        for group, block in zip(groups, blocks, strict=True):
            sent = np.zeros(flat.buffer.size, int)
            for call, where, start, count, kind, op, root, own_stream, final in group["calls"]:
                assert (call, where, op, root, own_stream) == ("allReduce", "grads", NCCL_AVG, None, True)
                assert kind == ("float64" if name == "fp64" else "float32")
                assert final, f"{block} was sent before it was there"
                sent[start : start + count] += 1
            expected = flat.like(np.zeros(flat.buffer.size, int))
            for parameter in expected:
                expected[parameter][...] = parameter.startswith(block)
            assert np.array_equal(sent, expected.buffer)
            assert len(group["calls"]) <= 2
        launched = [group["after"] for group in groups]
        assert launched == sorted(set(launched))  # kernels of the blocks below come between
        check_number(number, name)


@pytest.mark.parametrize(("size", "name"), [case for case in CASES if "zero" in case[1]])
def test_with_zero_each_shard_goes_to_its_rank_and_comes_back(runs, size, name):
    n = sum(np.prod(shape) for shape in param_shapes(CONFIG).values())
    shares, world = [], World()
    world.size = size
    for rank in range(size):
        share = world.shard_of(rank, n)
        shares.append((rank, share.start, share.stop - share.start))
    for one in runs[size][name]:
        loss, scattered, norm, gathered = one["exchanges"]
        check_number(loss, name)
        check_number(norm, name)
        expected = [("reduce", "grads", NCCL_AVG), ("broadcast", "params", None)]
        for group, what in zip((scattered, gathered), expected, strict=True):
            assert [(call[6], call[2], call[3]) for call in group["calls"]] == shares
            assert {(call[0], call[1], call[5]) for call in group["calls"]} == {what}
            assert all(own_stream and final for *_, own_stream, final in group["calls"])


def check_number(group, name):
    """A mean of one number, by way of the world's own place."""
    kind = "float64" if name.startswith("fp64") else "float32"
    assert group["calls"] == [["allReduce", kind, 0, 1, kind, NCCL_AVG, None, True, True]]


def test_planted_faults_are_noticed():
    """Two processes plant each fault of nccl_faults.py in turn; one that is none is not noticed."""
    key = secrets.token_hex(16)
    commands = [python(["tests.ranks.nccl_faults", str(rank), key]) for rank in range(2)]
    for out in output([subprocess.Popen(command, **PIPES) for command in commands]):
        found = json.loads(out)
        assert all(one.startswith("losses") for one in found["right"]), found["right"]
        unnoticed = [fault for fault, said in zip(FAULTS, found["faults"], strict=True) if not said]
        assert unnoticed == [HARMLESS]


# Meeting ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [by_torchrun, by_srun])
def test_nccls_own_id_reaches_all_ranks_without_mpi(start):
    ids = [out.strip() for out in start(4, "tests.ranks.meet")]
    assert len(set(ids)) == 1
    assert len(bytes.fromhex(ids[0])) == 128
    assert any(bytes.fromhex(ids[0]))


def test_an_error_that_nccl_reports_ends_the_rank():
    program = """
import time
from minigpt.ranks.worlds import met_alone
from tests.support.cuda import emulated_cupy
with emulated_cupy(), met_alone("cupy") as world:
    world.at(7)
    world.ranks.error = "NCCL_ERROR_REMOTE_ERROR: a network cable"
    time.sleep(60)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "NCCL_ERROR_REMOTE_ERROR: a network cable; NCCL_DEBUG=INFO says more; every" in ended.stderr


@pytest.mark.parametrize("where", ["exchange", "call", "meeting"])
def test_a_rank_that_does_not_come_to_an_exchange_between_gpus_is_named(where):
    """Waited for by the host, in NCCL's own call, and in the making of the communicator."""
    command = [mpiexec(), "-n", "2", *python(["tests.ranks.gpu_hang", where])]
    environment = {**os.environ, "MINIGPT_DEADLINE": "3"}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode != 0
    step = 0 if where == "meeting" else 2
    late = f"CommError: step {step}, exchange between GPUs: not every rank has come within 3 s; "
    late += "elsewhere: rank 1 "
    assert late in ended.stderr
    at = "starting, after the agreement" if where == "meeting" else "saving after step 2"
    assert f", {at}; every rank ends" in ended.stderr.split(late)[1]


def test_new_exchanges_are_new_time_and_the_thread_that_asks_is_on_this_ranks_gpu(monkeypatch):
    with emulated_cupy(), met_alone("cupy") as world:
        turns, used = [], []
        monkeypatch.setattr(nccl, "use_gpu", lambda: used.append(threading.current_thread()))
        for _ in range(2):
            world.finish()
            turns.append(world.overdue.turn)
        assert turns[0] < turns[1]
        assert world._check() == ""
        assert used == [threading.current_thread()]


def test_work_is_overdue_when_neither_it_ends_nor_any_new_begins():
    now, event = [0.0], SimpleNamespace(done=True)
    overdue = Overdue(10, lambda: now[0])
    overdue.event = event

    def asked_at(second):
        now[0] = second
        return overdue()

    assert not asked_at(20)
    event.done = False
    overdue.begin()
    assert not asked_at(25)
    assert not asked_at(34)
    overdue.begin()
    assert not asked_at(36)
    assert not asked_at(46)
    assert asked_at(47)
    event.done = True
    assert not asked_at(48)
    with overdue.calling():
        assert not asked_at(50)
        assert asked_at(61)
    assert not asked_at(62)


def test_without_nccl_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy.cuda.nccl", SimpleNamespace(available=False))
    with pytest.raises(CommError, match=r"expected NCCL, CuPy finds none; pip install 'minigpt\[cupy\]'"):
        library()


def test_ranks_on_one_gpu_are_refused_unless_they_are_to_share_it():
    apart, together = [["gpu 1 of a", False], ["gpu 1 of b", False]], [["gpu 1 of a", False]] * 2
    check_gpus(apart, 22800)
    with pytest.raises(CommError, match=rf"ranks \[0, 1\] have one GPU, gpu 1 of a: .*{SHARE}=1") as refused:
        check_gpus(together, 23203)
    assert refused.value.agreed
    sharing = [["gpu 1 of a", True]] * 2
    check_gpus(sharing, 23000)
    with pytest.raises(CommError, match=r"expected NCCL 2.30 or newer, found 2.28"):
        check_gpus(sharing, 22809)
    with pytest.raises(CommError, match="have one GPU"):
        check_gpus([sharing[0], together[0]], 23203)


# The stand-in -----------------------------------------------------------------------------------------------


def test_the_stand_in_is_as_cupys_own_nccl():
    real = importlib.import_module("cupy.cuda.nccl")
    for name, value in vars(fake_nccl).items():
        if name.startswith("NCCL_"):
            assert getattr(real, name) == value, name
    for name in ("get_version", "get_unique_id", "groupStart", "groupEnd", "available"):
        assert hasattr(real, name), name
    for name in vars(fake_nccl.NcclCommunicator).keys() - {"error"}:
        assert name.startswith("_") or hasattr(real.NcclCommunicator, name), name
    for module in (real, fake_nccl):
        assert isinstance(module.get_unique_id(), bytes)
        with pytest.raises(ValueError, match="commId length 2 != 128"):
            module.NcclCommunicator(1, b"id", 0)
        with pytest.raises(TypeError, match="expected bytes"):
            module.NcclCommunicator(1, tuple(range(128)), 0)
        nobody = module.NcclCommunicator.__new__(module.NcclCommunicator)
        with pytest.raises(module.NcclError, match="INVALID_ARGUMENT"):
            nobody.check_async_error()


def test_streams_and_events_of_the_stand_in_are_as_cupys_own():
    cuda = importlib.import_module("cupy").cuda
    for name, methods in {"Stream": ("__init__", "wait_event"), "Event": ("__init__", "record")}.items():
        for method in methods:
            theirs, ours = (
                inspect.signature(getattr(getattr(module, name), method)) for module in (cuda, fake_streams)
            )
            assert [(p.name, p.default) for p in theirs.parameters.values()] == [
                (p.name, p.default) for p in ours.parameters.values()
            ]
