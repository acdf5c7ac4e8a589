"""minigpt convert: any format to any other, number by number, the tokenizer carried along."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

import minigpt
from minigpt import commands
from minigpt.weights.convert import convert

FIXTURES = Path(__file__).parent / "fixtures"
FORMATS = ("safetensors", "llmc", "npz")


def converted(*flags, **more):
    return convert(commands.Convert(*flags, **more))


@pytest.mark.parametrize("first", FORMATS)
@pytest.mark.parametrize("second", FORMATS)
def test_openais_weights_go_through_every_format_unchanged(tmp_path, capsys, first, second):
    config, params = minigpt.load_weights(FIXTURES / "openai")
    assert converted(str(FIXTURES / "openai"), str(tmp_path / "a"), first) == 0
    assert converted(str(tmp_path / "a"), str(tmp_path / "b"), second) == 0
    found_config, found = minigpt.load_weights(tmp_path / "b")
    assert found_config == config
    assert found.buffer.tobytes() == params.buffer.tobytes()
    assert f"b: 1,896 parameters as {second}, float32" in capsys.readouterr().out


def test_types_and_heads_are_as_told(tmp_path, capsys):
    _, params = minigpt.load_weights(FIXTURES / "openai")
    np.savez(tmp_path / "bare.npz", **params)
    converted(str(tmp_path / "bare.npz"), str(tmp_path / "wide"), "safetensors", "float64", n_head=4)
    config, found = minigpt.load_weights(tmp_path / "wide")
    assert (config.n_head, found.buffer.dtype) == (4, "float64")
    converted(str(tmp_path / "wide"), str(tmp_path / "half"), "llmc-bf16")
    assert "as llmc-bf16, bfloat16" in capsys.readouterr().out
    found = minigpt.load_weights(tmp_path / "half")[1].buffer
    assert (np.abs(found - params.buffer) <= 2**-8 * np.abs(params.buffer)).all()


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
@pytest.mark.parametrize("format", minigpt.weights.FORMATS)
def test_halves_go_into_every_format_that_holds_them(tmp_path, format, half):
    config, params = minigpt.load_weights(FIXTURES / "openai", dtype=half)
    if (format, half) == ("npz", "bfloat16"):
        return  # refused: test_npz.py
    minigpt.save_weights(tmp_path / "x", config, params, format=format)
    found_config, found = minigpt.load_weights(tmp_path / "x")
    expected = params.buffer.astype(np.float32)
    if format == "llmc-bf16":
        expected = expected.astype(minigpt.load_weights(FIXTURES / "openai", "bfloat16")[1].buffer.dtype)
    assert found_config == config
    assert np.array_equal(found.buffer, expected.astype(np.float32))


def test_a_type_is_not_asked_of_formats_that_have_theirs(tmp_path):
    with pytest.raises(minigpt.ConfigError, match="--dtype is for safetensors and npz: llmc holds float32"):
        converted(str(FIXTURES / "openai"), str(tmp_path / "x"), "llmc", "float16")


def test_a_tokenizer_goes_with_the_folder(tmp_path, capsys):
    source = tmp_path / "openai"
    shutil.copytree(FIXTURES / "openai", source)
    shutil.copy(Path(minigpt.__file__).parent / "gpt2" / "vocab.bpe", source)
    converted(str(source), str(tmp_path / "hub"), "safetensors")
    assert "with the tokenizer of vocab.bpe" in capsys.readouterr().out
    assert minigpt.Tokenizer.load(tmp_path / "hub").merges == minigpt.Tokenizer.gpt2().merges


@pytest.mark.parametrize("format", ["llmc", "npz", "safetensors"])
def test_a_place_that_cannot_be_written_leaves_nothing(tmp_path, format):
    (tmp_path / "file").write_text("kept")
    with pytest.raises(minigpt.CheckpointError, match="cannot be written"):
        converted(str(FIXTURES / "openai"), str(tmp_path / "file" / "x"), format)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.parametrize("format", ["llmc", "npz", "safetensors"])
def test_a_disk_that_fills_leaves_the_older_file(tmp_path, monkeypatch, format):
    target = tmp_path / "model"
    converted(str(FIXTURES / "openai"), str(target), format)
    before = {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def full(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("minigpt.weights.whole.flush", full)
    with pytest.raises(minigpt.CheckpointError, match=r"cannot be written: .*No space left"):
        converted(str(FIXTURES / "float16"), str(target), format, n_head=2)
    after = {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert after == before


@pytest.mark.parametrize("format", ["llmc", "llmc-bf16", "npz"])
def test_what_is_no_file_is_never_replaced(tmp_path, format):
    os.mkfifo(tmp_path / "pipe")  # a device in small: a rename would put a file in its place
    (tmp_path / "folder").mkdir()
    for name, kind in (("pipe", "a device, pipe or socket"), ("folder", "a folder")):
        with pytest.raises(
            minigpt.CheckpointError, match=f"{name}: expected the name of a file, found {kind}"
        ):
            converted(str(FIXTURES / "openai"), str(tmp_path / name), format)
    assert (tmp_path / "pipe").is_fifo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "pipe"]
