"""Checkpoints on disk: exact round trips, and plain words about every kind of damage."""

import json

import numpy as np
import pytest
import safetensors.numpy

import minigpt
from minigpt import checkpoint
from minigpt.guard import Window
from minigpt.promises import AnotherVersion, checked_record
from minigpt.seal import SEAL, sealed
from minigpt.shelf import checkpoints
from minigpt.train import new_state
from minigpt.weights.safetensors_bytes import safetensors_bytes

CONFIG = minigpt.GPTConfig(n_layer=2, n_head=2, n_embd=8, n_ctx=6, n_vocab=11)
SETTINGS = {"lr": 0.1, "seed": 3}


@pytest.fixture(scope="module")
def tokenizer():
    return minigpt.Tokenizer.train(["to be or not to be"], 260)


def some_state(step=7, dtype="float32"):
    state = new_state(minigpt.init_params(CONFIG, dtype=dtype))._replace(step=step, updates=step - 1)
    rng = np.random.default_rng(step)
    state.first[:], state.second[:] = rng.normal(size=(2, state.first.size))
    return state._replace(guard=Window((1.5, 0.1 + step), (2.0, 1 / 3), 1, 2))


def changed(path, change):
    """Write a state.json that says something else, with the seal that belongs to it."""
    record = json.loads(path.read_text()) | change
    record.pop(SEAL)
    path.write_bytes(sealed(record))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_checkpoint_comes_back_bit_for_bit(tmp_path, tokenizer, dtype):
    state = some_state(dtype=dtype)
    folder = checkpoint.save(tmp_path, CONFIG, state, SETTINGS, tokenizer)
    assert folder == tmp_path / "step_00000007"
    config, found, settings = checkpoint.load(folder)
    assert (config, settings, found.step, found.updates) == (CONFIG, SETTINGS, 7, 6)
    assert found.guard == state.guard
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
        ({"guard": {"losses": [0.5]}}, "state.json: guard: expected the guard's window"),
    ],
)
def test_a_state_json_that_says_something_else_is_named(tmp_path, tokenizer, change, message):
    path = checkpoint.save(tmp_path, CONFIG, some_state(), SETTINGS, tokenizer) / "state.json"
    changed(path, change)
    with pytest.raises(minigpt.CheckpointError, match=message):
        checkpoint.load(path.parent)


def test_json_too_deep_to_read_is_named(tmp_path, tokenizer):
    path = checkpoint.save(tmp_path, CONFIG, some_state(), SETTINGS, tokenizer) / "state.json"
    path.write_text("[" * 100_000)
    with pytest.raises(minigpt.CheckpointError, match=r"state.json: not readable as JSON"):
        checkpoint.load(path.parent)


def test_a_state_json_without_a_seal_is_named_and_its_weights_still_open(tmp_path, tokenizer):
    path = checkpoint.save(tmp_path, CONFIG, some_state(), SETTINGS, tokenizer) / "state.json"
    record = json.loads(path.read_text())
    record.pop(SEAL)
    path.write_text(json.dumps(record))
    with pytest.raises(minigpt.CheckpointError, match="expected a SHA-256 of itself, found none: it is dama"):
        checkpoint.load(path.parent)
    assert minigpt.load_weights(path.parent / "model.safetensors", n_head=2)[0] == CONFIG


def test_a_checkpoint_of_another_version_is_not_called_damaged(tmp_path, tokenizer):
    path = checkpoint.save(tmp_path, CONFIG, some_state(), SETTINGS, tokenizer) / "state.json"
    changed(path, {"version": 3})
    with pytest.raises(AnotherVersion, match="expected a checkpoint of version 2, found 3"):
        checkpoint.load(path.parent)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_the_pieces_are_the_bytes_that_the_library_writes(metadata):
    arrays = {"b": np.arange(6.0).reshape(2, 3), "a": np.float32([[1], [2]]), "ü": np.arange(5, dtype="u1")}
    arrays["large"] = np.random.default_rng(0).normal(size=(1100, 1000)).astype("f4")  # more than a piece
    pieces = safetensors_bytes(arrays, metadata)
    assert len(pieces) > len(arrays) + 1
    assert b"".join(pieces) == safetensors.numpy.save(arrays, metadata)


def test_a_snapshot_does_not_change_with_the_state(tmp_path, tokenizer):
    state = some_state()
    before = state.params.buffer.copy()
    taken = checkpoint.snapshot(CONFIG, state, SETTINGS, tokenizer)
    for buffer in (state.params.buffer, state.first, state.second):
        buffer[:] = 0  # as the next step does, whose kernels write over them
    found = checkpoint.load(checkpoint.write(tmp_path, taken))[1]
    assert np.array_equal(found.params.buffer, before)
    assert found.first.any()
    assert found.second.any()


def test_a_copy_that_finds_no_memory_says_how_much_it_needs(tokenizer, monkeypatch):
    def no_memory(array):
        raise MemoryError

    monkeypatch.setattr(checkpoint, "copied", no_memory)
    state = some_state()
    needed = f"step 7: not saved: .* needs {3 * state.params.buffer.nbytes:,} bytes of memory"
    with pytest.raises(minigpt.CheckpointError, match=needed):
        checkpoint.snapshot(CONFIG, state, SETTINGS, tokenizer)


def test_saving_a_step_again_leaves_a_sound_checkpoint_alone_and_a_damaged_one_aside(tmp_path, tokenizer):
    folder = checkpoint.save(tmp_path, CONFIG, some_state(), SETTINGS, tokenizer)
    before = folder.stat().st_ino
    assert checkpoint.save(tmp_path, CONFIG, some_state(), SETTINGS, tokenizer).stat().st_ino == before
    (tmp_path / ".step_00000003.1.tmp").mkdir()  # of a run that was killed while it saved
    for aside in ("step_00000007.replaced", "step_00000007.replaced.2"):
        (folder / "model.safetensors").write_bytes(b"")
        assert checkpoint.save(tmp_path, CONFIG, some_state(), SETTINGS, tokenizer) == folder
        assert checkpoint.load(folder)[1].step == 7
        assert (tmp_path / aside / "model.safetensors").read_bytes() == b""
    assert len(list(tmp_path.iterdir())) == 3


def test_what_does_not_read_back_as_written_never_becomes_a_checkpoint(tmp_path, tokenizer, monkeypatch):
    checkpoint.save(tmp_path, CONFIG, some_state(1), SETTINGS, tokenizer)

    def flips(path):
        if path.name == "optimizer.safetensors":
            content = bytearray(path.read_bytes())
            content[-1] ^= 1
            path.write_bytes(content)

    monkeypatch.setattr(checkpoint, "forget", flips)
    with pytest.raises(minigpt.CheckpointError, match=r"optimizer.safetensors is damaged: expected .*, fo"):
        checkpoint.save(tmp_path, CONFIG, some_state(2), SETTINGS, tokenizer)
    assert [path.name for path in tmp_path.iterdir()] == ["step_00000001"]


def test_a_disk_without_room_is_said_before_anything_is_written(tmp_path, tokenizer, monkeypatch):
    usage = checkpoint.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(checkpoint.shutil, "disk_usage", lambda _: usage._replace(free=1234))
    monkeypatch.setattr(checkpoint, "written", None)
    said = r"step_00000007: cannot be written: .*; it needs [\d,]{6,} bytes, 1,234 are free in "
    with pytest.raises(minigpt.CheckpointError, match=said):
        checkpoint.save(tmp_path, CONFIG, some_state(), SETTINGS, tokenizer)
    assert not list(tmp_path.iterdir())


def test_the_newest_checkpoints_are_kept_and_every_so_many(tmp_path, tokenizer):
    for step in (1, 2, 3, 4, 5, 6, 10, 7):
        checkpoint.save(tmp_path, CONFIG, some_state(step), SETTINGS, tokenizer, keep=2, keep_every=3)
    steps = [3, 6, 7, 10]
    assert [checked_record(path)["step"] for path in checkpoints(tmp_path)] == steps
    assert len(list(tmp_path.iterdir())) == len(steps)


def test_what_was_just_written_is_kept_whatever_else_is_there(tmp_path, tokenizer):
    for step in (10, 11, 12, 2):
        path = checkpoint.save(tmp_path, CONFIG, some_state(step), SETTINGS, tokenizer, keep=2)
        assert checked_record(path)["step"] == step
    assert [path.name[-2:] for path in checkpoints(tmp_path)] == ["02", "11", "12"]


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
