"""Checkpoints on disk: exact round trips, and plain words about every kind of damage."""

import json

import numpy as np
import pytest

import minigpt
from minigpt import checkpoint
from minigpt.train import new_state

CONFIG = minigpt.GPTConfig(n_layer=2, n_head=2, n_embd=8, n_ctx=6, n_vocab=11)
SETTINGS = {"lr": 0.1, "seed": 3}


@pytest.fixture(scope="module")
def tokenizer():
    return minigpt.Tokenizer.train(["to be or not to be"], 260)


def some_state(step=7, dtype="float32"):
    state = new_state(minigpt.init_params(CONFIG, dtype=dtype))._replace(step=step, updates=step - 1)
    rng = np.random.default_rng(step)
    state.first[:], state.second[:] = rng.normal(size=(2, state.first.size))
    return state


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_checkpoint_comes_back_bit_for_bit(tmp_path, tokenizer, dtype):
    state = some_state(dtype=dtype)
    folder = checkpoint.save(tmp_path, CONFIG, state, SETTINGS, tokenizer)
    assert folder == tmp_path / "step_00000007"
    config, found, settings = checkpoint.load(folder)
    assert (config, settings, found.step, found.updates) == (CONFIG, SETTINGS, 7, 6)
    for name in ("first", "second"):
        assert getattr(found, name).tobytes() == getattr(state, name).tobytes()
    assert found.params.buffer.tobytes() == state.params.buffer.tobytes()
    assert minigpt.Tokenizer.load(folder).merges == tokenizer.merges


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"step": "7"}, "step must be a count: found '7'"),
        ({"settings": None}, "settings must be an object: found None"),
        ({"step": -1}, "step must be a count: found -1"),
        ({"updates": 1.0}, "updates must be a count: found 1.0"),
        ({"files": {}}, "no size and SHA-256 of config.json, model.safetensors"),
        ({"files": []}, "files must be an object"),
    ],
)
def test_a_state_json_that_says_something_else_is_named(tmp_path, tokenizer, change, message):
    path = checkpoint.save(tmp_path, CONFIG, some_state(), SETTINGS, tokenizer) / "state.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(minigpt.CheckpointError, match=message):
        checkpoint.load(path.parent)


def test_json_too_deep_to_read_is_named(tmp_path, tokenizer):
    path = checkpoint.save(tmp_path, CONFIG, some_state(), SETTINGS, tokenizer) / "state.json"
    path.write_text("[" * 100_000)
    with pytest.raises(minigpt.CheckpointError, match=r"state.json: not readable as JSON"):
        checkpoint.load(path.parent)


def test_saving_a_step_again_leaves_a_sound_checkpoint_alone_and_replaces_a_damaged_one(tmp_path, tokenizer):
    folder = checkpoint.save(tmp_path, CONFIG, some_state(), SETTINGS, tokenizer)
    before = folder.stat().st_ino
    assert checkpoint.save(tmp_path, CONFIG, some_state(), SETTINGS, tokenizer).stat().st_ino == before
    (folder / "model.safetensors").write_bytes(b"")
    (tmp_path / ".step_00000003.1.tmp").mkdir()  # of a run that was killed while it saved
    assert checkpoint.save(tmp_path, CONFIG, some_state(), SETTINGS, tokenizer).stat().st_ino != before
    assert checkpoint.load(folder)[1].step == 7
    assert [path.name for path in tmp_path.iterdir()] == ["step_00000007"]


def test_the_newest_checkpoints_are_kept(tmp_path, tokenizer):
    for step in (1, 2, 10, 3):
        checkpoint.save(tmp_path, CONFIG, some_state(step), SETTINGS, tokenizer, keep=2)
    assert [path.name for path in checkpoint.checkpoints(tmp_path)] == ["step_00000003", "step_00000010"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step_00000003", "step_00000010"]


def test_any_flipped_bit_and_any_missing_file_is_found(tmp_path, tokenizer):
    rng = np.random.default_rng(0)
    folder = checkpoint.save(tmp_path, CONFIG, some_state(), SETTINGS, tokenizer)
    names = [path.name for path in folder.iterdir() if path.name != "state.json"]
    assert len(names) == 5
    for name in names:
        good = (folder / name).read_bytes()
        for place in [0, len(good) - 1, *rng.integers(0, len(good), 20)]:
            bad = bytearray(good)
            bad[place] ^= 1 << rng.integers(8)
            (folder / name).write_bytes(bad)
            with pytest.raises(minigpt.CheckpointError, match=f"{name} is damaged"):
                checkpoint.load(folder)
        (folder / name).unlink()
        with pytest.raises(minigpt.CheckpointError, match=f"{name} is damaged: .* found no such file"):
            checkpoint.load(folder)
        (folder / name).write_bytes(good)
    checkpoint.load(folder)


def test_a_save_that_dies_leaves_the_older_checkpoint_and_no_half_one(tmp_path, tokenizer, monkeypatch):
    checkpoint.save(tmp_path, CONFIG, some_state(1), SETTINGS, tokenizer)
    real, calls = checkpoint.flush, []

    def dies(path):
        calls.append(path)
        if len(calls) == last:
            raise OSError(28, "No space left on device")
        real(path)

    monkeypatch.setattr(checkpoint, "flush", dies)
    last = 0
    while True:
        last += 1
        calls.clear()
        try:
            checkpoint.save(tmp_path, CONFIG, some_state(2), SETTINGS, tokenizer)
        except OSError:
            found = checkpoint.checkpoints(tmp_path)
            assert [checkpoint.load(path)[1].step for path in found] in ([1], [1, 2])
        else:
            break
    assert last > 6
    assert [path.name for path in checkpoint.checkpoints(tmp_path)] == ["step_00000001", "step_00000002"]
