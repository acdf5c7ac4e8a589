"""Workers make the step that one process makes, and leave nothing behind, whatever ends them."""

import gc
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import minigpt
from minigpt.errors import CommError, NumericsError
from minigpt.train import train_step
from minigpt.workers import memory, processes, shares
from minigpt.workers.line import Line
from minigpt.workers.shares import may_pay, shares_of
from minigpt.workers.step import Workers
from minigpt.workers.world import Neighbours
from tests.support.models import random_params

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="there are workers on Linux alone")

C, T, V = 64, 32, 40
CONFIG = minigpt.GPTConfig(n_layer=2, n_head=2, n_embd=C, n_ctx=T, n_vocab=V)
EPS = 2.0**-24


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Workers are worth it for less than else: tests are quick then."""
    monkeypatch.setattr(shares, "LEAST", 1024)


def trainer(threads=2, **options):
    return minigpt.Trainer(CONFIG, random_params(CONFIG, 3, "float32"), threads=threads, **options)


def batch(B, seed=0, ignored=()):
    tokens, targets = np.random.default_rng(seed).integers(0, V, (2, B, T))
    for place in ignored:
        targets[place] = -1
    return tokens, targets


def workers(trainer):
    """The numbers of the processes that a trainer has started."""
    return trainer.train_step.processes.numbers


def gradient(trainer, batches):
    """The mean gradient of a step, and its report."""
    report = trainer.step_in_parts(batches)
    return trainer.state.grads.buffer.copy(), report


@pytest.mark.parametrize("threads", [2, 3, 5])
@pytest.mark.parametrize("B", [2, 7, 12])
@pytest.mark.parametrize("ignored", [(), ((0, 3), (0, 4), (-1, -1))], ids=["all", "not all"])
def test_a_step_is_the_reference_s_in_float64(threads, B, ignored):
    pair = batch(B, B, ignored)
    exact = minigpt.Trainer(CONFIG, random_params(CONFIG, 3), ops="reference", clip=None)
    ours = trainer(threads, clip=None)
    true, told = gradient(exact, [pair])
    found, report = gradient(ours, [pair])
    assert len(workers(ours)) == min(threads, B) - 1
    scale = np.abs(true).max()
    assert np.abs(found - true).max() < 200 * EPS * scale
    assert report.loss == pytest.approx(told.loss, rel=20 * EPS)
    assert report.norm == pytest.approx(told.norm, rel=200 * EPS)
    assert ours.state.step == ours.state.updates == 1


def test_parts_are_averaged():
    pairs = [batch(4, seed) for seed in range(3)]
    true, _ = gradient(minigpt.Trainer(CONFIG, random_params(CONFIG, 3), ops="reference"), pairs)
    ours = trainer()
    found, _ = gradient(ours, pairs)
    assert len(workers(ours)) == 1
    assert np.abs(found - true).max() < 200 * EPS * np.abs(true).max()


def test_forty_steps_stay_as_near_to_float64_as_those_of_one_process():
    pairs = [batch(6, seed) for seed in range(40)]
    exact = minigpt.Trainer(CONFIG, random_params(CONFIG, 3), ops="reference", lr=1e-3)
    several, alone = trainer(3, lr=1e-3), trainer(1, lr=1e-3)
    true, ours, plain = ([one.step(*pair) for pair in pairs] for one in (exact, several, alone))
    assert len(workers(several)) == 2
    assert true[-1] < 0.9 * true[0]
    assert np.abs(np.subtract(ours, true)).max() < 8 * np.abs(np.subtract(plain, true)).max()


def test_the_same_steps_are_the_same_bits():
    courses = []
    for _ in range(2):
        one = trainer(3)
        losses = [one.step(*batch(5, seed)) for seed in range(5)]
        courses.append(
            (losses, one.params.buffer.tobytes(), one.state.first.tobytes(), one.state.second.tobytes())
        )
    assert courses[0] == courses[1]


def test_the_mapping_of_parameters_is_the_one_that_steps_change():
    one = trainer()
    before = one.params["wte.weight"]
    copy = before.copy()
    one.step(*batch(4))
    assert np.shares_memory(one.params["wte.weight"], before)
    assert (before != copy).any()


def test_a_state_that_is_put_in_place_is_gone_on_from():
    one, other = trainer(), trainer(1)
    for each in (one, other):
        each.step(*batch(4, 1))
        first, second = (np.full_like(moment, 1e-3) for moment in (each.state.first, each.state.second))
        params = each.params.like(np.full_like(each.params.buffer, 0.01))
        each.state = each.state._replace(params=params, first=first, second=second, updates=9)
        each.step(*batch(4, 2))
    assert np.allclose(one.params.buffer, other.params.buffer, rtol=1e-5, atol=1e-7)
    assert one.state.updates == other.state.updates == 10


def test_moments_that_change_places_do():
    one, other = trainer(), trainer(1)
    for each in (one, other):
        each.step(*batch(4, 1))
        first, second = each.state.first, each.state.second
        each.state = each.state._replace(first=second, second=np.abs(first, out=first), updates=np.int64(9))
        each.step(*batch(4, 2))
    assert np.allclose(one.state.first, other.state.first, rtol=1e-3, atol=1e-7)
    assert np.allclose(one.state.second, other.state.second, rtol=1e-3, atol=1e-7)


def test_every_number_of_the_optimizer_is_told():
    """eps so large that AdamW's division makes nothing of rounding."""
    options = {"betas": (0.8, 0.9), "eps": 1e-2, "weight_decay": 0.5, "decay_all": True, "clip": 0.3}
    options |= {"lr": 1e-2, "warmup": 3, "schedule": "linear", "steps": 9, "final": 0.1}
    one, other = trainer(3, **options), trainer(1, **options)
    for seed in range(8):
        one.step(*batch(6, seed))
        other.step(*batch(6, seed))
    moved = np.abs(other.params.buffer - random_params(CONFIG, 3, "float32").buffer).max()
    assert np.abs(one.params.buffer - other.params.buffer).max() < 1e-3 * moved
    assert np.allclose(one.state.guard.losses, other.state.guard.losses, rtol=1e-4)
    assert len(one.state.guard.norms) == 8


@pytest.mark.parametrize("dtype", ["uint64", "uint16", "int8", ">i4"])
def test_ids_may_be_of_any_whole_type(dtype):
    tokens, targets = batch(4)
    assert trainer().step(tokens.astype(dtype), targets) == trainer().step(tokens, targets)


def test_what_is_not_finite_changes_nothing():
    one = trainer(3)
    one.step(*batch(6))
    one.params["ln_f.bias"][0] = np.inf
    before = one.params.buffer.tobytes(), one.state.first.tobytes(), one.state.second.tobytes()
    with pytest.raises(NumericsError, match="step 2 not applied"):
        one.step(*batch(6))
    assert (one.params.buffer.tobytes(), one.state.first.tobytes(), one.state.second.tobytes()) == before
    one.params["ln_f.bias"][0] = 0
    assert np.isfinite(one.step(*batch(6)))
    assert (one.state.step, one.state.updates) == (3, 2)


# ---- when there are workers ------------------------------------------------------------------------------


def test_shares_cover_the_batches_and_weigh_by_targets():
    pairs = [batch(7, seed, [(0, slice(0, 16))]) for seed in (1, 2)]
    parts, weights = shares_of(pairs, C, 3)
    for part, pair in enumerate(pairs):
        assert (np.concatenate([share[part] for share in parts], axis=1) == np.stack(pair)).all()
    rows = [share.shape[2] for share in parts]
    assert weights == [(rows[0] * T - 16) / (7 * T - 16)] + [r * T / (7 * T - 16) for r in rows[1:]]


@pytest.mark.parametrize(
    ("pairs", "size"),
    [
        ([batch(1)], 2),  # one sequence
        ([batch(4)], 1),
        ([batch(4, 0, [slice(0, 2)])], 2),  # a share without a target
        ([batch(4), batch(4, 0, [(0, 0)])], 2),  # shares that weigh differently in each part
        ([batch(4), batch(6)], 2),
    ],
)
def test_where_a_mean_of_means_is_not_the_mean_threads_do_it(pairs, size):
    assert shares_of(pairs, C, size) == ([], [])


def test_neither_little_nor_much_is_worth_processes(monkeypatch):
    monkeypatch.setattr(shares, "LEAST", 2**16)
    monkeypatch.setattr(shares, "MOST", 2**18)
    few, many = 2**17 // (4 * C * T), 2**19 // (4 * C * T)
    assert [len(shares_of([batch(B)], C, 2)[0]) for B in (few - 1, few, many, many + 1)] == [0, 2, 2, 0]
    assert len(shares_of([batch(2 * few)], C, 8)[0]) == 4


@pytest.mark.parametrize(
    "options", [{"threads": 1}, {"ops": "reference"}, {"dtype": "float64"}], ids=["one", "plain", "float64"]
)
def test_others_step_without(options):
    params = random_params(CONFIG, 3, options.pop("dtype", "float32"))
    one = minigpt.Trainer(CONFIG, params, **({"threads": 2} | options))
    assert one.train_step is train_step


def test_a_large_model_steps_without(monkeypatch):
    assert isinstance(trainer().train_step, Workers)
    monkeypatch.setattr(shares, "MOST_PARAMETERS", trainer().params.buffer.size - 1)
    assert trainer().train_step is train_step
    assert not may_pay(trainer().ops, trainer().world, trainer().params)


def test_where_no_process_can_be_started_threads_do_it_and_it_is_said(monkeypatch):
    def refuse(*_, **__):
        raise BlockingIOError("Resource temporarily unavailable")

    monkeypatch.setattr(processes.subprocess, "Popen", refuse)
    ours, alone = trainer(3), trainer(1)
    with pytest.warns(RuntimeWarning, match="no worker process could start .*unavailable.: threads make the"):
        assert ours.step(*batch(6)) == pytest.approx(alone.step(*batch(6)), rel=1e-6)
    monkeypatch.undo()
    monkeypatch.setattr(shares, "LEAST", 1024)
    assert ours.step(*batch(6, 1)) == pytest.approx(alone.step(*batch(6, 1)), rel=1e-4)
    assert workers(ours) == []


def test_a_worker_that_dies_on_its_way_is_started_anew(monkeypatch):
    start, killed = processes.start, []

    def deadly(file, lines, started):
        start(file, lines, started)
        if not killed:
            started[-1].kill()
            killed.append(started[-1].wait())

    monkeypatch.setattr(processes, "start", deadly)
    one, other = trainer(2), trainer(2)
    assert one.step(*batch(4)) == other.step(*batch(4))
    assert (killed, len(workers(one))) == ([-signal.SIGKILL], 1)


def test_where_there_is_no_memory_to_share_threads_do_it(monkeypatch):
    def refuse(name):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(memory.os, "memfd_create", refuse)
    assert trainer().train_step is train_step


# ---- how they end ----------------------------------------------------------------------------------------


def gone(process, seconds=20):
    """Whether a process, by its number, ends in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.01)
    return False


def kill(number):
    """Kill a process, and wait until it is gone."""
    os.kill(number, signal.SIGKILL)
    assert gone(number)


def test_a_trainer_that_is_forgotten_takes_its_workers_along():
    one = trainer(3)
    one.step(*batch(6))
    numbers = workers(one)
    assert len(numbers) == 2
    del one
    gc.collect()
    assert all(not Path(f"/proc/{number}").exists() for number in numbers)


@pytest.mark.parametrize("moment", ["between steps", "in a step"])
def test_a_worker_that_dies_is_replaced_and_the_step_is_the_same(moment, monkeypatch):
    one, other = trainer(3), trainer(3)
    for each in (one, other):
        each.step(*batch(6))
    before = workers(one)
    if moment == "between steps":
        kill(before[1])
    else:
        forward, killed = one.train_step.ops.block_forward, []

        def deadly(*arguments, **options):
            if not killed:
                killed.append(kill(before[1]))
            return forward(*arguments, **options)

        one.train_step.ops.block_forward = deadly
    assert one.step(*batch(6, 1)) == other.step(*batch(6, 1))
    assert one.params.buffer.tobytes() == other.params.buffer.tobytes()
    assert len(workers(one)) == 2
    assert not set(workers(one)) & set(before)


def test_when_all_die_again_the_step_is_named_and_no_weight_has_moved():
    one, other = trainer(2), trainer(2)
    for each in (one, other):
        each.step(*batch(4))
    forward = one.train_step.ops.block_forward

    def deadly(*arguments, **options):
        if workers(one):
            kill(workers(one)[0])
        return forward(*arguments, **options)

    one.train_step.ops.block_forward = deadly
    with pytest.raises(CommError, match=r"step 2: a worker process died .* no weight has moved; .*threads=1"):
        one.step(*batch(4, 1))
    one.train_step.ops.block_forward = forward
    assert one.step(*batch(4, 1)) == other.step(*batch(4, 1))
    assert one.params.buffer.tobytes() == other.params.buffer.tobytes()


@pytest.mark.parametrize("told", [0, 1], ids=["of one", "of two"])
def test_one_that_dies_while_weights_move_is_not_glossed_over(told, monkeypatch):
    """The second worker dies before it hears of the verdict, as the first one moves its weights."""
    one = trainer(2 + told)
    one.step(*batch(6))
    say, victim, line = Line.say, workers(one)[told], one.train_step.processes.lines[told]

    def deadly(self, value, data=b""):
        if isinstance(value, list) and isinstance(value[0], tuple) and self is line:  # verdicts
            kill(victim)
        say(self, value, data)

    monkeypatch.setattr(Line, "say", deadly)
    with pytest.raises(CommError, match=r"step 2: .* some weights have moved: go on from a checkpoint"):
        one.step(*batch(6, 1))
    for _ in range(2):
        with pytest.raises(CommError, match="while weights were being changed: go on from a checkpoint"):
            one.step(*batch(6))


def test_a_step_that_is_done_leaves_nothing_half_done():
    """A worker that dies after a step is no reason to refuse the next."""
    one = trainer(2)
    for seed in range(3):
        one.step(*batch(4, seed))
        kill(workers(one)[0])
    assert not one.train_step.torn


def test_one_that_stands_still_is_waited_for_no_longer_than_it_may_take(monkeypatch):
    monkeypatch.setattr(processes, "ANSWER", 1)
    monkeypatch.setattr(processes, "LEAVE", 0.1)
    one, other = trainer(2), trainer(2)
    for each in (one, other):
        each.step(*batch(4))
    (frozen,) = workers(one)
    os.kill(frozen, signal.SIGSTOP)
    assert one.step(*batch(4, 1)) == other.step(*batch(4, 1))
    assert not Path(f"/proc/{frozen}").exists()
    assert len(workers(one)) == 1


def test_no_more_are_started_than_a_batch_has_rows():
    one = trainer(8)
    for B, count in ((2, 1), (3, 2), (2, 2)):
        one.step(*batch(B))
        assert len(workers(one)) == count


def test_ctrl_c_in_a_step_is_raised_and_the_next_step_works(monkeypatch):
    one, other = trainer(3), trainer(3)
    for each in (one, other):
        each.step(*batch(6))
    forward = one.train_step.ops.block_forward

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    one.train_step.ops.block_forward = interrupted
    numbers = workers(one)
    with pytest.raises(KeyboardInterrupt):
        one.step(*batch(6, 1))
    assert not any(Path(f"/proc/{number}").exists() for number in numbers)
    one.train_step.ops.block_forward = forward
    assert one.step(*batch(6, 1)) == other.step(*batch(6, 1))
    assert one.params.buffer.tobytes() == other.params.buffer.tobytes()


PROGRAM = """
import json, signal
import minigpt
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs begin without
from minigpt.workers import shares
from tests.workers.test_step import batch, trainer, workers
shares.LEAST = 1024
one = trainer(3)
one.step(*batch(6))
print(json.dumps(workers(one)), flush=True)
while True:
    one.step(*batch(6))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda one: one.name)
def test_workers_end_with_their_process(number):
    """A signal goes to the whole job, as from a terminal; workers do not heed it, and go by themselves."""
    command = [sys.executable, "-c", PROGRAM]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    with subprocess.Popen(command, cwd=Path(__file__).parents[2], **options) as program:
        started = json.loads(program.stdout.readline())
        time.sleep(0.1)
        (os.kill if number == signal.SIGKILL else os.killpg)(program.pid, number)
        try:
            _, said = program.communicate(timeout=60)
        finally:
            program.kill()
        assert program.returncode == -number
    assert all(gone(worker) for worker in started)
    assert said.count("Traceback") == (number == signal.SIGINT)  # none of the workers'


def in_child(act):
    """What act() returns, as bytes, in a forked child."""
    ours, theirs = os.pipe()
    if (child := os.fork()) == 0:
        try:
            os.write(theirs, act())
        finally:
            os._exit(0)
    os.close(theirs)
    with open(ours, "rb") as answer:
        said = answer.read()
    assert os.waitpid(child, 0)[1] == 0
    return said


def test_a_forked_child_has_weights_and_workers_of_its_own():
    one, other = trainer(3), trainer(3)
    for each in (one, other):
        each.step(*batch(6))
    ready, go = os.pipe()

    def go_on():
        os.read(ready, 1)  # the parent has stepped
        loss = one.step(*batch(6, 1))
        found = json.dumps([loss, len(workers(one)), float(one.params.buffer.sum())])
        one.train_step.processes.end()
        return found.encode()

    before = workers(one)
    with ThreadPoolExecutor(1) as pool:
        said = pool.submit(in_child, go_on)
        time.sleep(0.3)
        for seed in (7, 8):
            one.step(*batch(6, seed))
        os.write(go, b".")
        loss, count, total = json.loads(said.result())
    assert loss == other.step(*batch(6, 1))
    assert (count, total) == (2, float(other.params.buffer.sum()))
    assert workers(one) == before


def test_a_forked_child_without_memory_to_share_has_weights_of_its_own(monkeypatch):
    one, other = trainer(2), trainer(2)
    for each in (one, other):
        each.step(*batch(4))

    def act():
        assert one.train_step is train_step
        one.params.buffer[:] = 0
        return b"changed"

    def refuse(name):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(memory.os, "memfd_create", refuse)
    assert in_child(act) == b"changed"
    assert one.step(*batch(4, 1)) == other.step(*batch(4, 1))


def test_a_fork_beside_a_step_ends():
    one, over = trainer(2), threading.Event()

    def steps():
        while not over.is_set():
            one.step(*batch(4))

    with ThreadPoolExecutor(1) as pool:
        stepping = pool.submit(steps)
        try:
            for _ in range(30):
                assert in_child(lambda: b"here") == b"here"
        finally:
            over.set()
        stepping.result()


def test_a_signal_to_the_whole_job_is_not_for_workers():
    one, other = trainer(3), trainer(3)
    for each in (one, other):
        each.step(*batch(6))
    before = workers(one)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        for worker in before:
            os.kill(worker, number)
    assert one.step(*batch(6, 1)) == other.step(*batch(6, 1))
    assert workers(one) == before


def test_no_descriptor_is_left_open():
    def opened():
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    trainer(3).step(*batch(6))
    before = opened()
    for _ in range(3):
        trainer(3).step(*batch(6))
    assert opened() == before


def test_each_worker_has_one_thread():
    """More would fight for the cores."""
    one = trainer(3)
    one.step(*batch(6))
    assert one.train_step.ops.threads == 1
    assert [len(os.listdir(f"/proc/{worker}/task")) for worker in workers(one)] == [1, 1]


def test_a_program_with_a_strange_path_and_no_main_guard_steps(tmp_path):
    """Modules of the folder that it runs in are none of the workers'."""
    (tmp_path / "json.py").write_text("raise SystemExit('not this one')")
    (tmp_path / "program.py").write_text(
        "import pathlib, sys\n"
        f"sys.path[:1] = [pathlib.Path('x'), {str(Path(__file__).parents[2])!r}]\n"
        "from minigpt.workers import shares\n"
        "from tests.workers.test_step import batch, trainer, workers\n"
        "shares.LEAST = 1024\n"
        "one = trainer()\n"
        "one.step(*batch(4))\n"
        "print(len(workers(one)))\n"
    )
    command = [sys.executable, "program.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("1\n", "", 0)


def test_workers_look_for_modules_where_this_process_does(monkeypatch):
    here, before = str(Path(minigpt.__file__).parents[1]), ["/first", "", Path("x"), "/second"]
    monkeypatch.setattr(sys, "path", before)
    assert processes.path().split(os.pathsep) == ["/first", "/second", here]
    monkeypatch.setattr(sys, "path", [here, *before])
    assert processes.path().split(os.pathsep) == [here, "/first", "/second"]


def test_a_gradient_is_added_up_when_it_is_there():
    grads = [np.ones(8, np.float32), np.zeros(8, np.float32)]
    ends = [Line(end) for end in socket.socketpair()]
    ranks = [Neighbours(rank, [ends[rank]], grads, [0.25, 0.75]) for rank in (0, 1)]

    def late():
        time.sleep(0.2)
        grads[1][:] = 3
        return ranks[1].reduce_scatter(grads[1])

    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(late)
        assert ranks[0].reduce_scatter(grads[0]).tolist() == [2.5] * 4
        assert second.result().tolist() == [2.5] * 4
    assert grads[0].tolist() == [2.5] * 8
