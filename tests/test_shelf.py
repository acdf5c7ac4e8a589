"""Which of a run's checkpoints is taken, and what becomes of those that cannot be."""

import re

import pytest

from minigpt.errors import CheckpointError
from minigpt.promises import AnotherVersion
from minigpt.shelf import checkpoints, last_sound, newest_sound, set_aside
from tests.support.tiny_runs import is_state_at, save
from tests.test_checkpoint import changed


def contents(folder):
    return {path.relative_to(folder): path.is_dir() or path.read_bytes() for path in folder.rglob("*")}


def test_there_may_be_none(tmp_path):
    assert newest_sound(tmp_path, pytest.fail) is None
    assert newest_sound(tmp_path / "nowhere", pytest.fail) is None


def test_the_newest_is_taken_by_its_number(tmp_path):
    for step in (9, 10, 100_000_000, 99_999_999):
        save(tmp_path, step, keep=9)
    (tmp_path / "step_00000200.damaged").mkdir()
    (tmp_path / ".step_999999999.1.tmp").mkdir()
    assert newest_sound(tmp_path, pytest.fail).name == "step_100000000"


def test_damaged_ones_are_passed_over_said_and_kept(tmp_path):
    for step in (1, 2, 3):
        save(tmp_path, step)
    (tmp_path / "step_00000003" / "config.json").unlink()
    (tmp_path / "step_00000002" / "state.json").write_text("{")
    (tmp_path / "step_00000002.damaged").mkdir()  # once before
    said = []
    assert is_state_at(newest_sound(tmp_path, said.append), 1)
    assert [path.name for path in checkpoints(tmp_path)] == ["step_00000001"]
    kept = f"; it is kept as {tmp_path / 'step_00000003.damaged'}, and the run goes on from "
    assert said[0].startswith(f"{tmp_path / 'step_00000003' / 'config.json'} is damaged: expected")
    assert said[0].endswith(kept + str(tmp_path / "step_00000001"))
    assert "step_00000002/state.json: not readable as JSON" in said[1]
    assert f"kept as {tmp_path / 'step_00000002.damaged.2'}," in said[1]
    assert (tmp_path / "step_00000002.damaged.2" / "state.json").read_text() == "{"


def test_if_none_is_sound_nothing_is_changed_and_each_is_named(tmp_path):
    for step in (1, 2):
        (save(tmp_path, step) / "model.safetensors").write_bytes(b"")
    before = contents(tmp_path)
    path = tmp_path / "step_00000002" / "model.safetensors"
    said = re.escape(f"{tmp_path}: none of its 2 checkpoints is sound: {path} is damaged: expected ") + (
        r"[\d,]+ bytes, found 0: it was cut off; so are step_00000001; copy one here again, or "
        "begin anew with --resume never or another --out$"
    )
    with pytest.raises(CheckpointError, match=said):
        newest_sound(tmp_path, pytest.fail)
    assert contents(tmp_path) == before


def test_a_checkpoint_under_the_name_of_another_step_is_not_taken(tmp_path):
    save(tmp_path, 1)
    save(tmp_path, 2).rename(tmp_path / "step_00000009")
    said = []
    assert newest_sound(tmp_path, said.append).name == "step_00000001"
    assert "expected step 9, found step 2 in it" in said[0]


def test_one_of_another_version_is_neither_passed_over_nor_touched(tmp_path):
    save(tmp_path, 1)
    changed(save(tmp_path, 2) / "state.json", {"version": 3})
    before = contents(tmp_path)
    with pytest.raises(AnotherVersion):
        newest_sound(tmp_path, pytest.fail)
    assert contents(tmp_path) == before


def test_names_of_what_is_set_aside_count_on(tmp_path):
    names = []
    for _ in range(3):
        (tmp_path / "step_00000001").mkdir()
        names.append(set_aside(tmp_path / "step_00000001", "damaged").name)
    assert names == ["step_00000001.damaged", "step_00000001.damaged.2", "step_00000001.damaged.3"]


def test_a_file_that_nobody_promised_is_no_damage(tmp_path):
    save(tmp_path, 1)
    (save(tmp_path, 2) / ".DS_Store").write_bytes(b"of a file manager")
    assert is_state_at(newest_sound(tmp_path, pytest.fail), 2)


def test_the_last_sound_one_is_before_any_step_that_was_not_finite(tmp_path):
    assert last_sound(tmp_path) is None
    for step in (1, 2, 3):
        save(tmp_path, step)
    guard = {"losses": [], "norms": [], "not_finite": 1, "spikes": 0}
    changed(tmp_path / "step_00000003" / "state.json", {"guard": guard})
    assert last_sound(tmp_path).name == "step_00000002"
