"""What is prepared ahead is what would be made on the spot; errors come out where they belong."""

import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigpt.errors import DataError
from minigpt.prefetch import Prefetch


def square(step):
    return step * step


@given(steps=st.lists(st.integers(0, 5), max_size=8), end=st.integers(0, 6))
def test_whatever_is_asked_for_is_made(steps, end):
    with Prefetch(square, end) as batches:
        assert [batches.take(step) for step in steps] == [square(step) for step in steps]


@pytest.mark.parametrize("first", [0, 3])
def test_the_next_step_is_made_while_this_one_runs_once_and_not_beyond_the_end(first):
    made = {step: threading.Event() for step in range(10)}
    calls = []

    def make(step):
        calls.append((step, threading.current_thread() is threading.main_thread()))
        made[step].set()

    with Prefetch(make, 5) as batches:
        for step in range(first, 5):
            batches.take(step)
            assert step == 4 or made[step + 1].wait(10)  # nobody has asked for it yet
    assert calls == [(step, False) for step in range(first, 5)]


def test_an_error_is_raised_at_its_step_and_not_before():
    def make(step):
        if step == 2:
            raise DataError(f"shard of step {step}")
        return step

    with Prefetch(make, 5) as batches:
        assert [batches.take(0), batches.take(1)] == [0, 1]
        batches._ahead.join()
        with pytest.raises(DataError, match="shard of step 2"):
            batches.take(2)
        assert batches.take(3) == 3  # and is not raised again


def test_nothing_is_left_when_it_ends_even_by_an_error():
    before = threading.active_count()

    def interrupted():
        with Prefetch(lambda step: time.sleep(step / 20), 5) as batches:
            batches.take(0)
            assert threading.active_count() == before + 1
            raise KeyError

    with pytest.raises(KeyError):
        interrupted()
    assert threading.active_count() == before


STUCK = """
import threading
from minigpt.prefetch import Prefetch

def make(step):
    if step:
        threading.Event().wait()  # a disk that does not answer

with Prefetch(make, 5) as batches:
    batches.take(0)
print("over")
"""


def test_a_thread_that_is_stuck_does_not_keep_the_process():
    done = subprocess.run([sys.executable, "-c", STUCK], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "over\n", "")
