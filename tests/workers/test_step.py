"""Workers make the step that one process makes, and leave nothing behind, whatever ends them."""

import gc
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import minigpt
from minigpt.errors import CommError, NumericsError
from minigpt.train import train_step
from minigpt.workers import step as step_module
from minigpt.workers import world
from minigpt.workers.step import Workers, dealt, may_pay
from minigpt.workers.world import say
from tests.support.models import random_params

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="there are workers on Linux alone")

C, T, V = 64, 32, 40
CONFIG = minigpt.GPTConfig(n_layer=2, n_head=2, n_embd=C, n_ctx=T, n_vocab=V)
EPS = 2.0**-24


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Workers are worth it for less than else: tests are quick then."""
    monkeypatch.setattr(step_module, "LEAST", 1024)


def trainer(threads=2, **options):
    return minigpt.Trainer(CONFIG, random_params(CONFIG, 3, "float32"), threads=threads, **options)


def batch(B, seed=0, ignored=()):
    tokens, targets = np.random.default_rng(seed).integers(0, V, (2, B, T))
    for place in ignored:
        targets[place] = -1
    return tokens, targets


def processes(trainer):
    """Those that the trainer has started."""
    return trainer.train_step.processes


def gradient(trainer, batches):
    """The mean gradient and the loss of a step that leaves weights as they are."""
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
    assert len(processes(ours)) == min(threads, B) - 1
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
    assert len(processes(ours)) == 1
    assert np.abs(found - true).max() < 200 * EPS * np.abs(true).max()


def test_forty_steps_stay_as_near_to_float64_as_those_of_one_process():
    pairs = [batch(6, seed) for seed in range(40)]
    exact = minigpt.Trainer(CONFIG, random_params(CONFIG, 3), ops="reference", lr=1e-3)
    several, alone = trainer(3, lr=1e-3), trainer(1, lr=1e-3)
    true, ours, plain = ([one.step(*pair) for pair in pairs] for one in (exact, several, alone))
    assert len(processes(several)) == 2
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
    shares, weights = dealt(pairs, C, 3)
    for part, pair in enumerate(pairs):
        assert (np.concatenate([share[part] for share in shares], axis=1) == np.stack(pair)).all()
    rows = [share.shape[2] for share in shares]
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
    assert dealt(pairs, C, size) == ([], [])


def test_neither_little_nor_much_is_worth_processes(monkeypatch):
    monkeypatch.setattr(step_module, "LEAST", 2**16)
    monkeypatch.setattr(step_module, "MOST", 2**18)
    few, many = 2**17 // (4 * C * T), 2**19 // (4 * C * T)
    assert [len(dealt([batch(B)], C, 2)[0]) for B in (few - 1, few, many, many + 1)] == [0, 2, 2, 0]
    assert len(dealt([batch(2 * few)], C, 8)[0]) == 4


@pytest.mark.parametrize(
    "options", [{"threads": 1}, {"ops": "reference"}, {"dtype": "float64"}], ids=["one", "plain", "float64"]
)
def test_others_step_without(options):
    params = random_params(CONFIG, 3, options.pop("dtype", "float32"))
    one = minigpt.Trainer(CONFIG, params, **({"threads": 2} | options))
    assert one.train_step is train_step


def test_a_large_model_steps_without(monkeypatch):
    assert isinstance(trainer().train_step, Workers)
    monkeypatch.setattr(step_module, "MOST_PARAMETERS", trainer().params.buffer.size - 1)
    assert trainer().train_step is train_step
    assert not may_pay(CONFIG, trainer().ops, trainer().world, trainer().params)


def test_where_no_process_can_be_started_threads_do_it(monkeypatch):
    def refuse(*_, **__):
        raise BlockingIOError("Resource temporarily unavailable")

    monkeypatch.setattr(step_module.subprocess, "Popen", refuse)
    ours, alone = trainer(3), trainer(1)
    assert ours.step(*batch(6)) == pytest.approx(alone.step(*batch(6)), rel=1e-6)
    assert ours.step(*batch(6, 1)) == pytest.approx(alone.step(*batch(6, 1)), rel=1e-4)
    assert processes(ours) == []


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


def test_a_trainer_that_is_forgotten_takes_its_workers_along():
    one = trainer(3)
    one.step(*batch(6))
    numbers = [process.pid for process in processes(one)]
    assert len(numbers) == 2
    del one
    gc.collect()
    assert all(not Path(f"/proc/{number}").exists() for number in numbers)


@pytest.mark.parametrize("moment", ["between steps", "before weights move"])
def test_a_worker_that_dies_is_named_and_replaced(moment, monkeypatch):
    one, other = trainer(3), trainer(3)
    for each in (one, other):
        each.step(*batch(6))
    victim = processes(one)[1]
    if moment == "between steps":
        os.kill(victim.pid, signal.SIGKILL)
        assert gone(victim.pid)
    else:
        judge = step_module.train_step

        def deadly(*arguments):
            os.kill(victim.pid, signal.SIGKILL)
            assert gone(victim.pid)
            return judge(*arguments)

        monkeypatch.setattr(step_module, "train_step", deadly)
    before = one.params.buffer.copy()
    with pytest.raises(CommError, match=r"a worker process died .* threads=1 does without"):
        one.step(*batch(6, 1))
    monkeypatch.undo()
    monkeypatch.setattr(step_module, "LEAST", 1024)
    assert (one.params.buffer == before).all()
    assert one.step(*batch(6, 1)) == other.step(*batch(6, 1))
    assert one.params.buffer.tobytes() == other.params.buffer.tobytes()


def test_one_that_dies_while_weights_move_is_not_glossed_over(monkeypatch):
    one = trainer(2)
    one.step(*batch(4))
    (victim,) = processes(one)
    update = one.train_step.ops.adamw

    def stopping(line, value):
        if isinstance(value, list) and isinstance(value[0], tuple):  # verdicts: weights will move
            victim.send_signal(signal.SIGSTOP)
        say(line, value)

    def deadly(*arguments, **options):
        victim.kill()
        return update(*arguments, **options)

    monkeypatch.setattr(world, "say", stopping)
    monkeypatch.setattr(one.train_step.ops, "adamw", deadly)
    with pytest.raises(CommError, match="a worker process died"):
        one.step(*batch(4, 1))
    for _ in range(2):
        with pytest.raises(CommError, match="while weights were being changed: go on from a checkpoint"):
            one.step(*batch(4))


def test_one_that_stands_still_is_waited_for_no_longer_than_it_may_take(monkeypatch):
    monkeypatch.setattr(step_module, "ANSWER", 1)
    monkeypatch.setattr(step_module, "LEAVE", 0.1)
    one, other = trainer(2), trainer(2)
    for each in (one, other):
        each.step(*batch(4))
    (frozen,) = processes(one)
    frozen.send_signal(signal.SIGSTOP)
    with pytest.raises(CommError, match="gave no answer: timed out"):
        one.step(*batch(4, 1))
    assert frozen.returncode == -signal.SIGKILL
    assert one.step(*batch(4, 1)) == other.step(*batch(4, 1))


def test_no_more_are_started_than_a_batch_has_rows():
    one = trainer(8)
    for B, count in ((2, 1), (3, 2), (2, 2)):
        one.step(*batch(B))
        assert len(processes(one)) == count


def test_ctrl_c_in_a_step_is_raised_and_the_next_step_works(monkeypatch):
    one, other = trainer(3), trainer(3)
    for each in (one, other):
        each.step(*batch(6))
    forward = one.train_step.ops.block_forward

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    one.train_step.ops.block_forward = interrupted
    numbers = [process.pid for process in processes(one)]
    with pytest.raises(KeyboardInterrupt):
        one.step(*batch(6, 1))
    assert not any(Path(f"/proc/{number}").exists() for number in numbers)
    one.train_step.ops.block_forward = forward
    assert one.step(*batch(6, 1)) == other.step(*batch(6, 1))
    assert one.params.buffer.tobytes() == other.params.buffer.tobytes()


PROGRAM = """
import json, sys
import minigpt
from minigpt.workers import step
from tests.workers.test_step import batch, processes, trainer
step.LEAST = 1024
one = trainer(3)
one.step(*batch(6))
print(json.dumps([process.pid for process in processes(one)]), flush=True)
while True:
    one.step(*batch(6))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda one: one.name)
def test_workers_end_with_their_process(number):
    """The signal goes to the whole group, as from a terminal; workers are in none, and go by themselves."""
    command = [sys.executable, "-c", PROGRAM]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    with subprocess.Popen(command, cwd=Path(__file__).parents[2], **options) as program:
        workers = json.loads(program.stdout.readline())
        time.sleep(0.1)
        os.killpg(program.pid, number)
        _, said = program.communicate(timeout=60)
        assert program.returncode == (1 if number == signal.SIGINT else -number) or number == signal.SIGINT
    assert all(gone(worker) for worker in workers)
    assert "minigpt.workers.worker" not in said  # no traceback of theirs


def test_a_forked_child_has_weights_of_its_own():
    one, other = trainer(3), trainer(3)
    for each in (one, other):
        each.step(*batch(6))
    ours, theirs = os.pipe()
    if (child := os.fork()) == 0:
        code = 1
        try:
            for seed in range(3):
                one.step(*batch(6, seed))
            os.write(theirs, b"stepped" if len(processes(one)) == 2 else b"alone")
            one.train_step.stop()
            code = 0
        finally:
            os._exit(code)
    assert os.read(ours, 100) == b"stepped"
    assert os.waitpid(child, 0)[1] == 0
    assert one.params.buffer.tobytes() == other.params.buffer.tobytes()
    assert one.step(*batch(6, 1)) == other.step(*batch(6, 1))
