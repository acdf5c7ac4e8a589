"""What holds of the CPU kernels beside their values, which tests/reference/test_scalar.py compares."""

import inspect
import os
import subprocess
import sys
import threading
import time
import warnings
import weakref
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import threadpool_info

import minigpt
from minigpt import kernels
from minigpt.kernels import cpu
from minigpt.kernels.cpu import team
from minigpt.kernels.cpu.team import Team
from minigpt.train import train_step
from tests.support.tables import cpu_table, small_blocks

CONFIG = minigpt.GPTConfig(n_layer=2, n_head=3, n_embd=48, n_ctx=300, n_vocab=70)


def batch(B, T):
    tokens, targets = np.random.default_rng(B + T).integers(0, CONFIG.n_vocab, (2, B, T))
    targets[0, 0] = -1 if T > 1 else 3
    return tokens, targets


def far_from_init(dtype):
    params = minigpt.init_params(CONFIG, dtype="float64")
    params.buffer[:] += 0.2 * np.random.default_rng(1).normal(size=params.buffer.size)
    return {name: param.astype(dtype) for name, param in params.items()}


@pytest.mark.parametrize("name", cpu.KERNELS)
def test_a_kernel_has_the_signature_of_the_function_it_replaces(name):
    reference = kernels.REFERENCE[name]
    kernel = list(inspect.signature(cpu.KERNELS[name]).parameters)
    assert kernel == [*inspect.signature(reference).parameters, "team"]


@pytest.mark.parametrize(("B", "T"), [(3, 300), (2, 128), (1, 129), (5, 1), (1, 1)])
def test_whole_model_at_real_block_sizes(B, T):
    """The sizes that small_blocks hides: as good as plain float32, give or take the luck of rounding.

    The entries' derived bounds are held at small sizes, in tests/reference/test_scalar.py. Here a cut in a
    wrong place would be off by 1, and the other order of sums by some 1e-7.
    """
    tokens, targets = batch(B, T)
    loss, want = minigpt.loss_and_grads(CONFIG, far_from_init("float64"), tokens, targets)
    single = far_from_init("float32")
    plain_loss, plain = minigpt.loss_and_grads(CONFIG, single, tokens, targets, ops="reference")
    fast_loss, fast = minigpt.loss_and_grads(CONFIG, single, tokens, targets)

    def error(grads):
        distances = sum(((grads[name] - want[name]) ** 2).sum() for name in want)
        return (distances / sum((want[name] ** 2).sum() for name in want)) ** 0.5

    rounding = np.spacing(np.float32(loss)) / 2  # of the loss alone, of which a lucky sum may know nothing
    assert abs(fast_loss - loss) <= 4 * max(abs(plain_loss - loss), rounding)
    assert error(fast) <= 4 * error(plain) < 1e-5


def test_rows_of_large_logits_are_shifted_each_by_its_own_maximum():
    """exp(89) is no float32, and exp(-104) is 0: neither no shift nor one for all rows would do."""
    logits = np.random.default_rng(0).normal(size=(1, 4, 5)) + np.array([-1000, -200, 200, 1000])[:, None]
    targets = np.array([[0, 1, 2, 3]])
    want, _ = kernels.REFERENCE["cross_entropy_forward"](logits, targets)
    loss, tail = cpu_table(1).cross_entropy_forward(logits.astype(np.float32), targets)
    assert abs(loss - want) < 1e-4  # of float32, 1,000 has that much rounding
    assert np.abs(tail[0].sum(axis=-1)).max() < 1e-6  # the gradient of each row adds up to 0


def by_threads(params, threads):
    """A trainer whose steps are made by threads, however small its model is."""
    trainer = minigpt.Trainer(CONFIG, params, threads=threads)
    trainer.train_step = train_step
    return trainer


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_same_threads_give_the_same_bits_every_time(threads):
    tokens, targets = batch(4, 200)
    params = far_from_init("float32")
    results = set()
    for _ in range(4):
        trainer = by_threads(params, threads)
        losses = [trainer.step(tokens, targets) for _ in range(3)]
        results.add((tuple(losses), trainer.params.buffer.tobytes()))
    assert len(results) == 1


def test_the_optimizer_writes_over_what_it_was_given():
    arrays = [np.ones(10, np.float32) for _ in range(4)]
    rest = {"step": 1, "scale": 1.0, "n_decayed": 5, "lr": 0.1, "betas": (0.9, 0.95), "eps": 1e-8}
    found = cpu_table(2).adamw(*arrays, **rest, weight_decay=0.1)
    assert all(a is b for a, b in zip(found, (arrays[0], arrays[2], arrays[3]), strict=True))


def blas_threads():
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def test_blas_has_its_threads_back_after_trainers_ran_side_by_side():
    before = blas_threads()
    tokens, targets = batch(2, 100)
    trainers = [by_threads(far_from_init("float32"), 2) for _ in range(3)]

    def train(trainer):
        for _ in range(4):
            trainer.step(tokens, targets)

    work = [threading.Thread(target=train, args=[trainer]) for trainer in trainers]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert blas_threads() == before
    assert len({trainer.params.buffer.tobytes() for trainer in trainers}) == 1


def test_a_session_holds_in_any_thread_and_ends_in_any_order():
    """threadpoolctl alone would hear the thread that came first, and no other as long as that lives."""
    before, ops, seen = blas_threads(), cpu_table(2), []
    entered, leave = threading.Event(), threading.Event()

    def other():
        with ops.session():
            seen.append(blas_threads())
            entered.set()
            leave.wait(60)

    thread = threading.Thread(target=other)
    with ops.session():
        pass
    thread.start()
    entered.wait(60)
    with ops.session(1):
        seen.append(blas_threads())
        leave.set()
        thread.join()
        seen.append(blas_threads())
    assert seen == [[count] * len(before) for count in (1, 2, 2)]
    assert blas_threads() == before


FORK = """
import os, sys, numpy as np, minigpt, minigpt.train
config = minigpt.GPTConfig(n_layer=1, n_head=2, n_embd=64, n_ctx=64, n_vocab=2048)
trainer = minigpt.Trainer(config, minigpt.init_params(config), threads=2)
trainer.train_step = minigpt.train.train_step
tokens = np.zeros((32, 64), int)
trainer.step(tokens, tokens)
child = os.fork()
loss = trainer.step(tokens, tokens)
if child == 0:
    os._exit(0 if np.isfinite(loss) else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_trainer_goes_on_in_a_forked_child():
    assert subprocess.run([sys.executable, "-c", FORK], timeout=60, check=False).returncode == 0


def test_nobody_writes_on_after_an_error():
    """What failed in one thread is reported when all of them have ended."""
    ended = []

    def job(part):
        time.sleep(0.05 * part)
        if part == 1:
            raise ValueError("one of three")
        ended.append(part)

    with pytest.raises(ValueError, match="one of three"):
        Team(4).share(job, [0, 1, 2, 3])
    assert sorted(ended) == [0, 2, 3]


def test_a_thread_that_is_held_up_leaves_what_is_left_to_the_others():
    """A core may be another program's half of the time: the rest does not wait for one half of the work."""
    done, rest = [], threading.Event()

    def job(part):
        if part == 0:
            assert rest.wait(60), "the other thread took its own half alone"
        done.append(part)
        if len(done) == 6:
            rest.set()
        return 10 * part

    assert Team(2).share(job, list(range(7))) == [0, 10, 20, 30, 40, 50, 60]
    assert done == [1, 2, 3, 4, 5, 6, 0]


@given(n=st.integers(1, 300), width=st.sampled_from([1, 3, 8]), threads=st.integers(1, 4))
def test_split_hands_out_each_row_once(n, width, threads):
    """In their order, in blocks of no more than is said, one for each thread if rows are enough."""
    with small_blocks():
        most = team.BLOCK_BYTES // (4 * width) + (team.ALIGN if width == 1 else 1)
        found = Team(threads).split(lambda block: list(range(n))[block], n, width)
    assert [row for rows in found for row in rows] == list(range(n))
    assert max(map(len, found)) <= most
    assert width == 1 or len(found) >= min(n, threads)


@pytest.mark.parametrize("x", [1e4, 1e13, 1e18])
def test_gelus_slope_is_1_or_0_far_out(x):
    """x^3 is beyond float32 from 7e12 on: its products with 0 were NaN once. From 1.85e19 on x^2 is, too."""
    ends = np.array([[[-x, x]]], np.float32)
    with np.errstate(over="ignore"):
        y, cache = cpu_table(1).gelu_forward(ends.copy())
    assert y.tolist() == [[[0, ends[0, 0, 1]]]]
    assert cpu_table(1).gelu_backward(np.ones_like(ends), cache).tolist() == [[[0, 1]]]


def test_after_an_error_nothing_new_is_begun():
    begun, failed = [], threading.Event()

    def job(part):
        begun.append(part)
        if part == 0:
            failed.set()
            raise ValueError("the first")
        assert failed.wait(60)
        time.sleep(0.05)  # until the queue is cleared

    with pytest.raises(ValueError, match="the first"):
        Team(2).share(job, list(range(50)))
    assert len(begun) <= 3


def test_a_share_waits_for_nobody_who_has_not_begun():
    """Another caller has the team's thread for as long as it likes. What was shared is not kept for it."""
    two, let_go, busy, held = Team(2), threading.Event(), threading.Event(), []

    def hold(part):
        if part == 1:
            busy.set()
        held.append(let_go.wait(20))

    other = threading.Thread(target=two.share, args=(hold, [0, 1]))
    other.start()
    assert busy.wait(60)
    try:
        array = np.ones(3)
        assert [product[0] for product in two.share(partial(np.multiply, array), [1, 2, 3])] == [1, 2, 3]
        kept = weakref.ref(array)
        del array
        assert kept() is None
    finally:
        let_go.set()
        other.join()
    assert held == [True, True], "only what held the thread ended the wait"


def test_little_work_wakes_nobody():
    def where(_):
        return threading.get_ident()

    assert set(Team(2).split(where, 100, 1000)) == {threading.get_ident()}
    assert Team(2).parts(16, 50_257, depth=768) == [(slice(None), slice(None))]


def test_a_product_is_cut_into_pieces_that_blas_repacks_one_by_one():
    for threads in (1, 2, 3):
        cuts = Team(threads).cuts(50_257, 10**9)
        assert [row for cut in cuts for row in range(50_257)[cut]] == list(range(50_257))
        assert max(cut.stop - cut.start for cut in cuts) < team.PIECE + team.ALIGN
        assert len(cuts) % threads == 0


@pytest.mark.parametrize("threads", [1, 2])
def test_arguments_that_are_not_donated_stay_as_they_are(threads):
    rng, ops = np.random.default_rng(0), cpu_table(threads)
    shapes = (2, 5, 4), (2, 5, 12), (4, 6), 6, (2, 5, 6), (2, 5, 4), (2, 5, 9), (9, 4)
    given = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
    x, qkv, weight, bias, dy, dx, dlogits, wte = given
    before = [array.copy() for array in given]
    with small_blocks():
        ops.linear_backward(dy, ops.linear_forward(x, weight, bias)[1])
        ops.unembedding_backward(dlogits, ops.unembedding_forward(x, wte)[1])
        ops.layernorm_forward(x, bias[:4], bias[2:])
        ops.attention_backward(dx, ops.attention_forward(qkv, 2)[1])
    for array, old in zip(given, before, strict=True):
        np.testing.assert_array_equal(array, old)


def test_an_error_in_any_thread_comes_out():
    with small_blocks(), pytest.raises(ValueError, match="mismatch"):
        cpu_table(2).linear_forward(np.ones((2, 8, 3), np.float32), np.ones((4, 5)), np.ones(5))


@pytest.mark.parametrize("value", [np.inf, 1e30])
def test_no_thread_warns_of_what_the_guard_judges(value):
    """np.errstate is its thread's own: NumPy would say in every other what is ignored in the first."""
    params = far_from_init("float32")
    params["h.0.attn.c_attn.weight"][0] = value
    with small_blocks(), warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        report = by_threads(params, 3).step_in_parts([batch(3, 20)])
    assert not report.verdict.accepted
    assert not found, found[0].message


def test_blas_has_its_own_threads_for_a_few_rows_alone():
    before, ops = blas_threads(), cpu_table(2)
    with ops.session():
        assert blas_threads() == [1] * len(before)
        with ops.session(1):
            assert blas_threads() == [2] * len(before)
            with ops.session(1000):
                assert blas_threads() == [1] * len(before)
            assert blas_threads() == [2] * len(before)
        assert blas_threads() == [1] * len(before)
    assert blas_threads() == before
