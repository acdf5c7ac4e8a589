"""The folder of save_weights: exact round trips, and plain words about every kind of damage."""

import json
import os
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import minigpt
from minigpt import checkpoint
from minigpt.cli import main
from minigpt.options import Recipe
from minigpt.resume import source_of
from minigpt.train import new_state

CONFIG = minigpt.GPTConfig(n_layer=2, n_head=2, n_embd=8, n_ctx=6, n_vocab=11)


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


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
def test_halves_are_written_and_read_as_they_are(tmp_path, half):
    params = minigpt.init_params(CONFIG, dtype="float64")
    minigpt.save_weights(tmp_path / "wide", CONFIG, params)
    _, halves = minigpt.load_weights(tmp_path / "wide", dtype=half)
    assert halves.buffer.dtype == half
    assert halves.buffer.tobytes() == params.buffer.astype(halves.buffer.dtype).tobytes()
    minigpt.save_weights(tmp_path / "half", CONFIG, halves)
    assert minigpt.load_weights(tmp_path / "half", dtype=half)[1].buffer.tobytes() == halves.buffer.tobytes()
    found = minigpt.load_weights(tmp_path / "half")[1].buffer
    assert found.dtype == np.float32
    assert np.array_equal(found, halves.buffer)


@pytest.mark.parametrize(("dtype", "number"), [("float16", 7e4), ("bfloat16", 3.4e38), ("float32", -1e39)])
def test_a_number_too_large_for_the_type_is_refused_by_name(tmp_path, dtype, number):
    params = minigpt.init_params(CONFIG, dtype="float64")
    params["ln_f.weight"][3] = number
    minigpt.save_weights(tmp_path, CONFIG, params)
    with pytest.raises(minigpt.CheckpointError, match=rf"ln_f\.weight: expected numbers within {dtype}'s"):
        minigpt.load_weights(tmp_path, dtype=dtype)


def test_a_file_cut_off_while_it_is_read_is_refused(tmp_path, monkeypatch):
    minigpt.save_weights(tmp_path, CONFIG, minigpt.init_params(CONFIG))
    path = tmp_path / "model.safetensors"

    def cutting(found, n_head, config_of=minigpt.weights.config_of):
        os.truncate(path, 4096)
        return config_of(found, n_head)

    monkeypatch.setattr(minigpt.weights, "config_of", cutting)
    with pytest.raises(minigpt.CheckpointError, match=r"as at first, found 4,096; something cut it off"):
        minigpt.load_weights(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_a_file_that_opens_and_cannot_be_read_is_one_line():
    with pytest.raises(minigpt.CheckpointError, match="/proc/self/mem: not readable"):
        minigpt.load_weights("/proc/self/mem")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_flipped_bit_in_a_runs_checkpoint_is_found(tmp_path, name):
    tokenizer = minigpt.Tokenizer.train(["the cat"], 260)
    path = checkpoint.save(tmp_path, CONFIG, new_state(minigpt.init_params(CONFIG)), {}, tokenizer)
    assert minigpt.load_weights(path)[0] == CONFIG
    content = bytearray((path / name).read_bytes())
    content[-9] ^= 1
    (path / name).write_bytes(content)
    with pytest.raises(minigpt.CheckpointError, match=rf"{name} is damaged: expected .* found"):
        minigpt.load_weights(path)


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
        lambda f: (f / "config.json").write_text("{}"), "a GPT-2 configuration .* found no 'n_layer'",
    ),
    "config nonsense": (
        lambda f: (f / "config.json").write_text(
            json.dumps({"n_layer": 0, "n_head": 1, "n_embd": 1, "n_positions": 1, "vocab_size": 1})
        ), "n_layer must be between 1",
    ),
    "weights cut": (cut("model.safetensors", 500), r"expected [\d,]+ bytes .*, found 500, [\d,]+ too few"),
    "weights empty": (cut("model.safetensors", 0), "expected weights, found an empty file"),
    "tensor missing": (spoil_tensors(lambda t: t.pop("wpe.weight")), "'wpe.weight' missing, 27 tensors"),
    "tensor unknown": (spoil_tensors(lambda t: t.update(x=np.zeros(1, np.float32))), "1 unknown.*'x'"),
    "tensor of doubles": (
        spoil_tensors(lambda t: t.update({"ln_f.bias": np.zeros(8)})), "all float64.* found float32, float64",
    ),
    "tensor of integers": (
        spoil_tensors(lambda t: t.update({"ln_f.bias": np.zeros(8, np.int32)})), "found float32, int32",
    ),
    "tensor of another shape": (
        spoil_tensors(lambda t: t.update({"ln_f.bias": np.zeros(9, np.float32)})),
        r"ln_f.bias: expected shape \(8,\) by config.json, found shape \(9,\)",
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
    with pytest.raises(
        minigpt.ConfigError, match="format must be one of safetensors, llmc, llmc-bf16, npz: found 'onnx'"
    ):
        minigpt.save_weights(tmp_path, CONFIG, minigpt.init_params(CONFIG), format="onnx")


@pytest.mark.parametrize("path", [None, 3, "nul\0", ""])
def test_what_is_no_path_is_named(path):
    with pytest.raises(minigpt.CheckpointError):
        minigpt.load_weights(path)
    with pytest.raises(minigpt.CheckpointError):
        minigpt.save_weights(path, CONFIG, minigpt.init_params(CONFIG))


def test_a_place_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(minigpt.CheckpointError, match=r"file: cannot be written: .*File exists"):
        minigpt.save_weights(tmp_path / "file", CONFIG, minigpt.init_params(CONFIG))


EMPTY = {
    "inspect": ["inspect", ""],
    "convert from": ["convert", "", "out", "--format", "npz"],
    "convert to": ["convert", ".", "", "--format", "safetensors"],
    "sample": ["sample", "--weights", ""],
    "evaluate": ["evaluate", "--weights", "", "--data", "x"],
    "download": ["download", "gpt2", "--out", ""],
}


@pytest.mark.parametrize("command", EMPTY)
def test_an_empty_path_is_not_the_folder_that_one_is_in(tmp_path, monkeypatch, capsys, command):
    """A model lies there, and would be taken, or overwritten."""
    monkeypatch.chdir(tmp_path)
    minigpt.save_weights(tmp_path, CONFIG, minigpt.init_params(CONFIG))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert main(EMPTY[command]) == 2
    said = " ".join(capsys.readouterr())
    assert "expected a path, found none; is a variable of the shell empty?" in said
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_no_reader_opens_the_folder_that_one_is_in_for_an_empty_path(tmp_path, monkeypatch):
    params = minigpt.init_params(CONFIG)
    folder = checkpoint.save(tmp_path, CONFIG, new_state(params), {}, minigpt.Tokenizer.train(["ab"], 257))
    monkeypatch.chdir(folder)
    resume = lambda path: source_of(Recipe(resume=path), print)  # noqa: E731
    for read in (minigpt.load_weights, checkpoint.load, resume):
        read(".")
        with pytest.raises(minigpt.CheckpointError, match="expected a path, found none"):
            read("")
