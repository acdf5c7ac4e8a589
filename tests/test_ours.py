"""What is written replaces only its own kind, and never what is read: one rule for all who write files."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

import minigpt
from minigpt import cli
from minigpt.vocabularies.hugging_face import CONFIG as TOKENIZER_CONFIG
from reference.tools import main as reference

CONFIG = minigpt.GPTConfig(n_layer=1, n_head=1, n_embd=4, n_ctx=4, n_vocab=270)
PARAMS = minigpt.init_params(CONFIG)
TOK = minigpt.Tokenizer.train(["the nation and the people " * 9], 270)
OTHERS = "was made by something else: give another name"
# contents that a hasty check would take for ours
FOREIGN = {
    "text": b"my diary\n",
    "empty": b"",
    "json": b'{"version": "1.0", "model": {"type": "BPE"}}',
    "counts": b"word 12\nlist 7\n",
    "zip": b"PK\x03\x04 not whole",
    "hugging face": b'{"model_type": "bert", "vocab_size": 30522}',
    "tensors": (2).to_bytes(8, "little") + b"{}",
    "page": b"<!doctype html><p>made with minigpt report and python -m reference trace",
}


@pytest.fixture(params=FOREIGN.values(), ids=FOREIGN)
def foreign(request):
    return request.param


def refused(command, path, capsys, main=cli.main):
    """Carry out a command that must leave a folder as it is; the line that it says."""
    before = contents(path)
    assert main([str(word) for word in command]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert contents(path) == before
    return err


def contents(folder):
    """The bytes of every file below a folder."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["v.bpe", "v.json", "v.tiktoken"])
def test_a_vocabulary_replaces_only_one_of_its_format(tmp_path, capsys, monkeypatch, foreign, name):
    (tmp_path / "text.txt").write_text("low low lower " * 3)
    command = ["tokenize", "train", tmp_path / "text.txt", "--n-vocab", "260", "--out", tmp_path / name]
    for _ in range(2):
        assert cli.main([str(word) for word in command]) == 0
    capsys.readouterr()
    (tmp_path / name).write_bytes(foreign)
    monkeypatch.setattr(minigpt.Tokenizer, "train", None)  # nothing is learned in vain
    assert f"{tmp_path / name} is there, and {OTHERS}" in refused(command, tmp_path, capsys)
    with pytest.raises(minigpt.DataError, match=OTHERS):
        TOK.save(tmp_path / name)
    assert (tmp_path / name).read_bytes() == foreign


def test_a_vocabulary_of_another_format_or_class_stays(tmp_path):
    TOK.save(tmp_path / "v.bpe")
    for name in ("v.json", "v.tiktoken"):
        shutil.copy(tmp_path / "v.bpe", tmp_path / name)
        with pytest.raises(minigpt.DataError, match=OTHERS):
            TOK.save(tmp_path / name)
    (tmp_path / TOKENIZER_CONFIG).write_text('{"tokenizer_class": "LlamaTokenizer"}')
    with pytest.raises(minigpt.DataError, match=f"{TOKENIZER_CONFIG} is there, and {OTHERS}"):
        TOK.save(tmp_path / "new.json")
    assert not (tmp_path / "new.json").exists()


def spellings(path, folder):
    """Other names for a file."""
    os.symlink(path, folder / "soft")
    os.link(path, folder / "hard")
    return [
        path,
        folder / "soft",
        folder / "hard",
        os.path.relpath(path),
        folder / ".." / folder.name / path.name,
    ]


def test_what_a_vocabulary_is_learned_from_stays(tmp_path, capsys):
    TOK.save(tmp_path / "v.bpe")  # of the right kind, even
    for out in spellings(tmp_path / "v.bpe", tmp_path):
        command = ["tokenize", "train", tmp_path / "v.bpe", "--n-vocab", "260", "--out", out]
        assert "is what is read, " in refused(command, tmp_path, capsys)


@pytest.mark.parametrize("format", minigpt.weights.FORMATS)
def test_weights_replace_only_weights_of_their_format(tmp_path, capsys, foreign, format):
    minigpt.save_weights(tmp_path / "source.npz", CONFIG, PARAMS, "npz")
    names = ("config.json", "model.safetensors") if format == "safetensors" else ("",)
    for number, name in enumerate(names):
        target = tmp_path / f"target{number}"
        for _ in range(2):
            minigpt.save_weights(target, CONFIG, PARAMS, format)
        (target / name).write_bytes(foreign)
        command = ["convert", tmp_path / "source.npz", target, "--format", format]
        assert f"{target / name} is there, and {OTHERS}" in refused(command, tmp_path, capsys)
        with pytest.raises(minigpt.CheckpointError, match=OTHERS):
            minigpt.save_weights(target, CONFIG, PARAMS, format)
        assert (target / name).read_bytes() == foreign


def test_other_peoples_arrays_stay(tmp_path):
    np.savez(tmp_path / "a.npz", results=np.ones(3))
    with pytest.raises(minigpt.CheckpointError, match=OTHERS):
        minigpt.save_weights(tmp_path / "a.npz", CONFIG, PARAMS, "npz")
    minigpt.weights.write_tensors(tmp_path / "model.safetensors", {"bert.embeddings": np.ones(3)})
    with pytest.raises(minigpt.CheckpointError, match=OTHERS):
        minigpt.save_weights(tmp_path, CONFIG, PARAMS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "model.safetensors"]


@pytest.mark.parametrize("format", ["llmc", "npz"])
def test_weights_that_are_converted_stay(tmp_path, capsys, format):
    minigpt.save_weights(tmp_path / "a", CONFIG, PARAMS, format)
    for target in spellings(tmp_path / "a", tmp_path):
        command = ["convert", tmp_path / "a", target, "--format", format]
        assert "is what is read, " in refused(command, tmp_path, capsys)


def test_a_folder_that_is_converted_stays(tmp_path, capsys):
    model = tmp_path / "model"
    minigpt.save_weights(model, CONFIG, PARAMS)
    TOK.save(model / "tokenizer.json")
    os.symlink(model, tmp_path / "link")
    for source in (model, model / "model.safetensors"):
        for target in (model, tmp_path / "link"):
            command = ["convert", source, target, "--format", "safetensors", "--dtype", "float16"]
            assert "is what is read, " in refused(command, tmp_path, capsys)


def test_a_tokenizer_that_is_carried_along_replaces_only_its_kind(tmp_path, capsys):
    minigpt.save_weights(tmp_path / "model", CONFIG, PARAMS)
    TOK.save(tmp_path / "model" / "tokenizer.json")
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "tokenizer.json").write_text("mine")
    command = ["convert", tmp_path / "model", tmp_path / "target", "--format", "safetensors"]
    assert OTHERS in refused(command, tmp_path, capsys)


def test_a_page_replaces_only_a_page(tmp_path, capsys, foreign):
    out = tmp_path / "x.html"
    command = ["trace", "to be", "--out", str(out)]
    for _ in range(2):
        assert reference(command) == 0
    capsys.readouterr()
    out.write_bytes(foreign)
    assert f"--out: {out} is there, and {OTHERS}" in refused(command, tmp_path, capsys, reference)


def test_a_link_that_is_read_only_by_others_is_no_input(tmp_path):
    """Files that are not there are not the same."""
    minigpt.vocabularies.refuse_lost(tmp_path / "new", inputs=[tmp_path / "none", Path("new")])


def test_a_file_that_cannot_be_read_stays(tmp_path, monkeypatch):
    def closed(path):
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a").write_text("mine")
    with pytest.raises(minigpt.DataError, match="a is there, and cannot be read: Permission denied"):
        minigpt.ours.refuse_others(tmp_path / "a", closed, minigpt.DataError)
