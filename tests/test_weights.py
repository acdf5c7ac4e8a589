"""Weights and checkpoints on disk: exact round trips, and plain words about every kind of damage."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

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
def test_weights_come_back_bit_for_bit(tmp_path, dtype):
    params = minigpt.init_params(CONFIG, seed=5, dtype=dtype)
    minigpt.save_weights(tmp_path / "model", CONFIG, dict(params))
    config, found = minigpt.load_weights(str(tmp_path / "model"))
    assert config == CONFIG
    assert found.buffer.dtype == dtype
    assert found.buffer.tobytes() == params.buffer.tobytes()
    assert list(found) == list(params)


def spread(array):
    """The same values in every second place of a larger array."""
    return np.repeat(array, 2, axis=-1)[..., ::2]


@pytest.mark.parametrize("view", [np.asfortranarray, spread, lambda a: a[::-1].copy()[::-1]])
def test_views_are_written_by_value(tmp_path, view):
    params = minigpt.init_params(CONFIG)
    minigpt.save_weights(tmp_path, CONFIG, {name: view(param) for name, param in params.items()})
    assert minigpt.load_weights(tmp_path)[1].buffer.tobytes() == params.buffer.tobytes()


def test_weights_are_rounded_when_asked(tmp_path):
    params = minigpt.init_params(CONFIG, dtype="float64")
    minigpt.save_weights(tmp_path, CONFIG, params)
    _, found = minigpt.load_weights(tmp_path, dtype="float32")
    assert found.buffer.tobytes() == params.buffer.astype(np.float32).tobytes()


def test_config_json_is_a_hub_gpt2(tmp_path):
    minigpt.save_weights(tmp_path, CONFIG, minigpt.init_params(CONFIG))
    words = json.loads((tmp_path / "config.json").read_text())
    assert words["model_type"] == "gpt2"
    assert (words["n_positions"], words["vocab_size"], words["activation_function"]) == (6, 11, "gelu_new")
    assert set(load_file(tmp_path / "model.safetensors")) == set(minigpt.init_params(CONFIG))


def spoil_tensors(change):
    def spoil(folder):
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors")

    return spoil


def cut(name, n):
    def spoil(folder):
        (folder / name).write_bytes((folder / name).read_bytes()[:n])

    return spoil


DAMAGE = {
    "no config": (lambda f: (f / "config.json").unlink(), "config.json: no such file"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "model.safetensors: no such file"),
    "config cut": (cut("config.json", 30), "config.json: not readable as JSON"),
    "config a list": (lambda f: (f / "config.json").write_text("[1]"), "expected a JSON object, found list"),
    "config of something else": (
        lambda f: (f / "config.json").write_text("{}"), "not a GPT-2 configuration: 'n_layer'",
    ),
    "config nonsense": (
        lambda f: (f / "config.json").write_text(
            json.dumps({"n_layer": 0, "n_head": 1, "n_embd": 1, "n_positions": 1, "vocab_size": 1})
        ), "n_layer must be between 1",
    ),
    "weights cut": (cut("model.safetensors", 500), "not a whole safetensors file"),
    "weights empty": (cut("model.safetensors", 0), "not a whole safetensors file"),
    "tensor missing": (spoil_tensors(lambda t: t.pop("wpe.weight")), "1 of 28 missing, first 'wpe.weight'"),
    "tensor unknown": (spoil_tensors(lambda t: t.update(x=np.zeros(1, np.float32))), "1 unknown.*'x'"),
    "tensor of half": (
        spoil_tensors(lambda t: t.update({"ln_f.bias": np.zeros(8, np.float16)})), "float16, float32",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGE)
def test_damaged_weights_are_named(tmp_path, case):
    spoil, message = DAMAGE[case]
    minigpt.save_weights(tmp_path, CONFIG, minigpt.init_params(CONFIG))
    spoil(tmp_path)
    with pytest.raises(minigpt.CheckpointError, match=message):
        minigpt.load_weights(tmp_path)


def test_a_missing_folder_and_an_unknown_format_are_named(tmp_path):
    with pytest.raises(minigpt.CheckpointError, match="nowhere"):
        minigpt.load_weights(tmp_path / "nowhere")
    with pytest.raises(minigpt.ConfigError, match="format must be one of safetensors: found 'onnx'"):
        minigpt.save_weights(tmp_path, CONFIG, minigpt.init_params(CONFIG), format="onnx")


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


@pytest.mark.parametrize("path", [None, 3, "nul\0"])
def test_what_is_no_path_is_named(path):
    with pytest.raises(minigpt.CheckpointError):
        minigpt.load_weights(path)
    with pytest.raises(minigpt.CheckpointError):
        minigpt.save_weights(path, CONFIG, minigpt.init_params(CONFIG))


def test_a_place_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(minigpt.CheckpointError, match=r"file: cannot be written: .*File exists"):
        minigpt.save_weights(tmp_path / "file", CONFIG, minigpt.init_params(CONFIG))


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
