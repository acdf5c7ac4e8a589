"""Saving in the background: one at a time, none lost, no error lost."""

import threading
from types import SimpleNamespace

import pytest

from minigpt.comm import World
from minigpt.errors import CheckpointError
from minigpt.saver import Saver
from minigpt.training import Run


def taken(step):
    return lambda: SimpleNamespace(step=step)


def test_the_run_goes_on_while_one_is_written_and_waits_for_it_before_the_next():
    gate, inside, done = threading.Event(), [], []

    def write(snapshot):
        inside.append(snapshot.step)
        assert len(inside) == 1 + len(done)
        gate.wait()
        done.append(snapshot.step)
        return f"path {snapshot.step}"

    with Saver(write, pytest.fail) as saver:
        saver.save(1, taken(1))
        saver.look()  # does not wait
        assert done == []
        timer = threading.Timer(0.05, gate.set)
        timer.start()
        saver.save(2, taken(2))
        assert done[:1] == [1]
        assert saver.held_up >= 0.04
    assert done == [1, 2]
    assert saver.latest == "path 2"


def test_a_copy_is_taken_only_when_the_one_before_is_written():
    order = []
    with Saver(lambda snapshot: order.append("written"), pytest.fail) as saver:
        for step in (1, 2, 3):
            saver.save(step, lambda step=step: order.append("taken") or SimpleNamespace(step=step))
    assert order == ["taken", "written"] * 3


def test_a_step_that_was_saved_is_not_saved_again():
    steps = []
    with Saver(lambda snapshot: steps.append(snapshot.step), pytest.fail) as saver:
        for step in (1, 1, 2, 2):
            saver.save(step, taken(step))
    assert steps == [1, 2]


def test_a_save_that_fails_is_warned_of_and_the_next_one_counts():
    def write(snapshot):
        if snapshot.step in (2, 3):
            raise CheckpointError(f"step {snapshot.step}: no room")
        return f"path {snapshot.step}"

    said = []
    with Saver(write, said.append) as saver:
        for step in (1, 2, 3):
            saver.save(step, taken(step))
        saver.wait()
        assert said == [f"step {step}: no room; the last checkpoint is path 1" for step in (2, 3)]
        assert str(saver.failure) == "step 3: no room"
        saver.save(3, taken(3))  # it was not saved: again
        saver.save(4, taken(4))
        saver.wait()
        assert saver.failure is None
    assert saver.latest == "path 4"
    assert len(said) == 3


def test_a_copy_that_finds_no_memory_is_warned_of_and_the_run_goes_on():
    def no_memory():
        raise CheckpointError("step 2: no memory")

    said = []
    with Saver(lambda snapshot: f"path {snapshot.step}", said.append) as saver:
        saver.save(1, taken(1))
        saver.save(2, no_memory)
        assert said == ["step 2: no memory; the last checkpoint is path 1"]
        assert saver.failure
        saver.save(2, taken(2))
    assert (saver.latest, saver.failure, len(said)) == ("path 2", None, 1)


def test_any_other_error_comes_out_where_it_is_waited_for():
    def write(snapshot):
        raise ZeroDivisionError

    saver = Saver(write, pytest.fail)
    saver.save(1, taken(1))
    with pytest.raises(ZeroDivisionError):
        saver.save(2, taken(2))
    saver.save(3, taken(3))
    with pytest.raises(ZeroDivisionError):
        saver.__exit__()


@pytest.fixture
def asked():
    """A run on one rank that asks for saves: save(step, memory), its saver, and what was said."""
    said, gate, state = [], threading.Event(), SimpleNamespace(step=0)

    def write(snapshot):
        gate.wait()
        return f"path {snapshot.step}"

    def no_memory():
        raise CheckpointError("no memory is left on rank 0 for the moments of all ranks")

    world, trainer = World(), SimpleNamespace(state=state, whole_state=no_memory)
    with Saver(write, said.append) as saver:
        one = SimpleNamespace(world=world, trainer=trainer, saver=saver, settle=lambda: None)

        def save(step):
            state.step = step
            Run.save(one)

        yield SimpleNamespace(save=save, saver=saver, said=said, gate=gate)


def test_moments_that_no_memory_is_left_for_are_a_save_that_failed(asked):
    asked.save(7)
    assert asked.said[0].startswith("step 7: not saved: no memory is left on rank 0")
    assert asked.saver.failure


def test_a_save_that_ends_well_does_not_hide_a_later_one_that_failed(asked):
    asked.saver.save(4, taken(4))
    asked.gate.set()
    asked.save(8)
    asked.saver.wait()
    assert asked.saver.latest == "path 4"
    assert "step 8: not saved" in str(asked.saver.failure)


def test_no_memory_for_a_step_that_is_saved_already_is_no_failure(asked):
    asked.saver.save(4, taken(4))
    asked.gate.set()
    asked.save(4)
    assert asked.said == []
    assert asked.saver.failure is None


def test_a_save_under_way_is_busy_until_it_has_ended(asked):
    assert not asked.saver.busy(0)
    asked.saver.save(4, taken(4))
    assert asked.saver.busy(0.01)
    assert asked.saver.held_up > 0
    asked.gate.set()
    while asked.saver.busy(0.01):
        continue
    assert asked.saver.latest == "path 4"
