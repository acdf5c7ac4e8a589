"""Whether a checkpoint is of the run that is wanted, and what may differ."""

import dataclasses
import io
import os

import pytest

from minigpt import checkpoint
from minigpt.disk import lock_folder
from minigpt.errors import CheckpointError, ConfigError
from minigpt.provenance import differences
from minigpt.recipe import notes
from minigpt.resume import leave_later, resumed_state, unsaved, way_on
from minigpt.shelf import checkpoints
from tests.support.tiny_runs import CONFIG, go, recipe, save, state_at, tokenizer

THERE = {"lr": 0.1, "warmup": 2, "seed": 3, "n_layer": 1, "tokenizer": "train"}


@pytest.fixture
def source(tmp_path):
    return checkpoint.save(tmp_path, CONFIG, state_at(5), THERE, tokenizer())


def resumed(source, here, allowed=None, **changes):
    """(the state, what was said) of a checkpoint for a run with these settings."""
    wanted = dataclasses.replace(recipe("nowhere", **changes), allow_changes=allowed)
    said = []
    return resumed_state(source, CONFIG, wanted, THERE | here, said.append), said


def test_equal_settings_need_no_word(source):
    state, said = resumed(source, {})
    assert (state.step, said) == (5, [])


def test_every_difference_is_listed_and_the_flag_that_would_allow_them(source):
    with pytest.raises(ConfigError) as refused:
        resumed(source, {"lr": 0.2, "seed": 4, "new": 1})
    said = "lr: 0.1 there, 0.2 here; new: None there, 1 here; seed: 3 there, 4 here. Give its values"
    assert said in str(refused.value)
    assert "--allow-changes lr,new,seed to change them" in str(refused.value)


def test_each_must_be_named(source):
    with pytest.raises(ConfigError, match=r"lr: .*; warmup: .*--allow-changes warmup to"):
        resumed(source, {"lr": 0.2, "warmup": 9}, "lr")
    state, said = resumed(source, {"lr": 0.2, "warmup": 9}, "warmup, lr")
    assert state.step == 5
    changes = "lr: 0.1 there, 0.2 here", "warmup: 2 there, 9 here"
    assert said == [f"changed, as allowed: {change}" for change in changes]


def test_what_was_allowed_and_has_not_changed_is_no_error(source):
    """The same command must go on after a stop, when the checkpoint has the new value."""
    assert resumed(source, {}, "lr")[1] == []


@pytest.mark.parametrize(
    ("here", "allowed", "message"),
    [
        ({"lr": 0.2}, "learning", "allow-changes: no setting 'learning': expected some of lr, warmup"),
        ({"n_layer": 2}, "n-layer", "allow-changes: n_layer cannot change: it makes the shape of"),
        ({"n_layer": 2}, None, "n_layer: 1 there, 2 here. n_layer cannot change: give its values"),
        ({"tokenizer": "x", "lr": 1}, "lr", "tokenizer cannot change"),
    ],
)
def test_what_cannot_change_is_said(source, here, allowed, message):
    with pytest.raises(ConfigError, match=message):
        resumed(source, here, allowed)


@pytest.mark.parametrize("name", ["data", "train_ids_sha256", "train-ids-sha256"])
def test_another_text_is_said_in_words_and_allowed_by_its_flags_name(tmp_path, name):
    text = "train_ids_sha256"
    source = checkpoint.save(tmp_path, CONFIG, state_at(5), THERE | {text: "63bc"}, tokenizer())
    with pytest.raises(ConfigError) as refused:
        resumed(source, {text: "5cd0"})
    other = "data: the training text (--data) is another, or is cut into other tokens"
    assert f"is of another run: {other}. Give its values" in str(refused.value)
    assert "--allow-changes data to change them" in str(refused.value)
    state, said = resumed(source, {text: "5cd0"}, name)
    assert (state.step, said) == (5, [f"changed, as allowed: {other}"])
    with pytest.raises(ConfigError, match=r"no setting 'text': expected some of .*tokenizer, data$"):
        resumed(source, {text: "5cd0"}, "text")


def test_fewer_steps_than_are_done_are_refused(source):
    with pytest.raises(ConfigError, match=r"steps, .*: expected 5 or more, which .* has done, found 4; give"):
        resumed(source, {}, steps=4)
    assert resumed(source, {}, steps=5)[0].step == 5


def test_the_type_of_the_weights_cannot_change(source):
    with pytest.raises(ConfigError, match="dtype: its parameters are float32, float64 needs float64"):
        resumed(source, {"dtype": "float64"} | {"lr": 0.1}, "dtype", dtype="float64")


def test_a_run_that_goes_back_sets_its_later_checkpoints_aside(tmp_path):
    for step in (1, 2, 3):
        save(tmp_path, step)
    said = []
    leave_later(tmp_path, tmp_path / "step_00000002", 2, said.append)
    assert [path.name for path in checkpoints(tmp_path)] == ["step_00000001", "step_00000002"]
    assert (tmp_path / "step_00000003.replaced").is_dir()
    assert len(said) == 1
    leave_later(tmp_path, None, 0, said.append)
    assert len(said) == 1
    assert len(checkpoints(tmp_path)) == 2


def test_a_run_that_comes_from_elsewhere_sets_aside_what_another_run_has_later(tmp_path):
    there, here = tmp_path / "there", tmp_path / "here"
    there.mkdir()
    here.mkdir()
    source = save(there, 2)
    for step in (1, 2, 3, 4):
        save(here, step, keep=9)
    said = []
    leave_later(here, source, 2, said.append)
    assert [path.name for path in checkpoints(here)] == ["step_00000001"]
    assert len(said) == 3
    assert save(here, 3, keep=1).is_dir()
    assert (here / "step_00000003.replaced").is_dir()


def test_what_computes_otherwise_than_what_saved_is_said_in_one_line(tmp_path):
    assert go(recipe(tmp_path, steps=2)) == 0
    said = io.StringIO()
    assert go(recipe(tmp_path, steps=3, allow_changes="steps"), said) == 0
    assert "otherwise than saved" not in said.getvalue()
    said = io.StringIO()
    assert go(recipe(tmp_path, steps=4, allow_changes="steps", threads=2), said) == 0
    line = "resumed otherwise than saved (threads: 1 there, 2 here): equal to rounding, not to the bit\n"
    assert line in said.getvalue()


def test_versions_and_ranks_are_compared_and_what_was_not_saved_is_not():
    pools = [{"internal_api": "openblas", "version": "1"}, {"internal_api": "openmp", "num_threads": 2}]
    here = {"ops": {"ranks": 2, "zero": 0}, "versions": {"numpy": "2.1", "thread_pools": pools}}
    there = {"ops": {"ranks": 1}, "versions": {"numpy": "2.0", "thread_pools": pools[:1]}}
    assert differences(there, here) == "ranks: 1 there, 2 here; numpy: 2.0 there, 2.1 here"
    assert differences({}, here) == ""


def test_without_out_a_run_goes_on_where_the_checkpoint_lies(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = dataclasses.replace(recipe("run", steps=2), out=None)
    assert go(dataclasses.replace(run, out="run")) == 0
    assert go(dataclasses.replace(run, resume="run/step_00000001/")) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert (tmp_path / "run" / "step_00000002.replaced").is_dir()
    monkeypatch.chdir("run/step_00000001")
    assert go(dataclasses.replace(run, resume=".")) == 0
    assert (tmp_path / "run" / "step_00000002.replaced.2").is_dir()


def test_out_decides_where_it_is_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert go(recipe("run", steps=2)) == 0
    assert go(recipe("branch", steps=2, resume="run/step_00000001")) == 0
    assert sorted(path.name for path in checkpoints(tmp_path / "branch")) == ["step_00000002"]
    assert not list((tmp_path / "run").glob("*.replaced"))


@pytest.mark.parametrize("resume", ["run/step_00000009", "nowhere/step_00000001"])
def test_a_resume_that_is_refused_leaves_no_folder(tmp_path, monkeypatch, resume):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    with pytest.raises(CheckpointError, match="is no checkpoint"):
        go(dataclasses.replace(recipe("run"), out=None, resume=resume))
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_new_folders_go_when_a_run_is_refused_and_those_of_others_stay(tmp_path):
    (tmp_path / "mine").mkdir()
    for out in ("mine", "new", "a/new/one"):
        with pytest.raises(CheckpointError, match="is no checkpoint"):
            go(recipe(tmp_path / out, resume="nowhere"))
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_second_run_that_is_refused_leaves_the_first_ones_folder(tmp_path):
    """It is empty while the first one reads its text."""
    (tmp_path / "run").mkdir()
    lock = lock_folder(tmp_path / "run", "test", ConfigError)
    with pytest.raises(ConfigError, match="another minigpt train is writing here"):
        go(recipe(tmp_path / "run"))
    os.close(lock)
    assert (tmp_path / "run").is_dir()


@pytest.mark.parametrize(
    ("resume", "way"),
    [
        ("auto", "the same command goes"),
        ("never", "the same command with --resume auto goes"),
        ("run/step_00000002", "the same command with --resume auto --out run goes"),
    ],
)
def test_the_way_on_is_a_command_that_goes_on(resume, way):
    wanted = recipe("run", resume=resume)
    assert way_on(wanted) == f"{way} on from there"
    assert unsaved(wanted, "run/step_00000003", None) == (
        f"what came after run/step_00000003 is not saved; {way} on from there"
    )


def test_a_run_that_saved_nothing_does_not_send_one_back_to_nothing():
    assert (
        unsaved(recipe("run"), None, None) == "nothing is saved: make room, and the same command begins anew"
    )
    again = "what came after there/step_00000002 is not saved; the same command goes on from there"
    assert unsaved(recipe("run", resume="there/step_00000002"), None, "there/step_00000002") == again


def test_a_warmup_that_is_longer_than_the_run_is_noted():
    assert list(notes(recipe("run", warmup=60, lr=1e-3))) == []
    said = "warmup: 80 steps are more than the run's 60: the rate climbs to 0.00075, and lr, 0.001, "
    assert list(notes(recipe("run", warmup=80, lr=1e-3))) == [said + "is not reached"]
