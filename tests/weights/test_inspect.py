"""minigpt inspect: every format has its name, every kind of damage its verdict."""

import gzip
import io
import json
import os
import re
import shutil
import struct
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

import minigpt
from minigpt import checkpoint
from minigpt.commands import Inspect
from minigpt.train import new_state
from minigpt.weights import inspect as inspection
from minigpt.weights.llmc import n_params, padded

FIXTURES = Path(__file__).parent / "fixtures"
CONFIG = minigpt.GPTConfig(n_layer=2, n_head=2, n_embd=8, n_ctx=6, n_vocab=300)
V = 50257


@pytest.fixture
def inspect(capsys):
    def run(path, n_head=None):
        code = inspection.inspect(Inspect(str(path), n_head))
        return code, capsys.readouterr().out

    return run


def params_of():
    return minigpt.init_params(CONFIG)


def header(*numbers):
    return struct.pack(f"<{len(numbers)}i", *numbers).ljust(1024, b"\0")


def floats(count, value=0.5):
    return np.full(count, value, "<f4").tobytes()


def tokenizer_file(n_tokens=V):
    return header(20240328, 2, n_tokens, n_tokens - 1) + b"\x03abc" * n_tokens


def example(index=0, ids=(5, 6), label=2):
    """One of HellaSwag's: a context of two tokens, four endings of two."""
    words = [label, 4, 2, *ids] + [2, *ids] * 4
    words = [65535, 2 * (len(words) + 3), index, *words]
    return np.array(words, "<u2").tobytes()


def debug_state(B=1, T=2, value=0.5):
    ids = np.arange(2 * B * T, dtype="<i4").tobytes()
    grads = n_params(CONFIG, padded(V))
    return header(20240327, 2, B, T) + ids + floats(B * T * V) + floats(1, 5.27) + floats(grads, value)


def save(write):
    """A maker of a file that a function writes under a name."""

    def make(folder):
        write(folder / "file")
        return folder / "file"

    return make


def content(data, name="file.bin"):
    """A maker of a file with some bytes."""

    def make(folder):
        (folder / name).write_bytes(data() if callable(data) else data)
        return folder / name

    return make


def as_format(format):
    return save(lambda path: minigpt.save_weights(path, CONFIG, params_of(), format=format))


def of_run(folder):
    tokenizer = minigpt.Tokenizer.train(["to be or not to be"], 260)
    state = new_state(params_of())._replace(step=7)
    return checkpoint.save(folder, CONFIG, state, {}, tokenizer)


def with_tokenizer(n_vocab):
    def make(folder):
        minigpt.save_weights(folder, CONFIG, params_of())
        minigpt.Tokenizer.train([" ".join(map(str, range(500)))], n_vocab).save(folder / "tokenizer.json")
        return folder

    return make


def shards(folder, tokenizer=False, raw=False):
    head = b"" if raw else header(20240520, 1, 3)
    for name in ("x_val_000000.bin", "x_train_000001.bin"):
        (folder / name).write_bytes(head + b"\x03\x01\x01\0\x02\0")
    if tokenizer:
        with_tokenizer(270)(folder / "made")
        (folder / "made" / "tokenizer.json").rename(folder / "tokenizer.json")
    return folder


def without_moments(folder):
    (of_run(folder) / "optimizer.safetensors").unlink()
    return folder / "step_00000007"


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def log(folder):
    (folder / "main.log").write_text("s:0 tel:9.1\ns:1 trl:9.0 lr:0.1 norm:2.0\ns:2 tel:8.5\n")
    return folder / "main.log"


SOUND = {
    "OpenAI's folder": (lambda _: FIXTURES / "openai", "OpenAI's checkpoint", "1,896 numbers"),
    "its index": (lambda _: FIXTURES / "openai/model.ckpt.index", "OpenAI's checkpoint", "whole"),
    "its data": (
        lambda _: FIXTURES / "openai/model.ckpt.data-00000-of-00001", "OpenAI's checkpoint", "whole",
    ),
    "its sizes": (lambda _: FIXTURES / "openai/hparams.json", "words about a model", "2 layers, 2 heads"),
    "a folder": (as_format("safetensors"), "layout of the Hugging Face hub", "whole, every number is finite"),
    "a file": (
        lambda f: as_format("safetensors")(f) / "model.safetensors", "a safetensors file",
        "300: none of GPT-2's",
    ),
    "its words": (lambda f: as_format("safetensors")(f) / "config.json", "words about a model", "8 channels"),
    "llm.c": (as_format("llmc"), "a model of llm.c", "300 x 8   float32"),
    "llm.c in bf16": (as_format("llmc-bf16"), "a model of llm.c", "300 x 8  bfloat16"),
    "npz": (as_format("npz"), "a NumPy archive", "28 tensors, 4,208 numbers"),
    "a checkpoint": (
        of_run, "a checkpoint of minigpt", "step 7; the SHA-256 of 5 files are as state.json says",
    ),
    "a checkpoint without moments": (
        without_moments, "a checkpoint of minigpt", "step 7; the SHA-256 of 4 files are as state.json says",
    ),
    "shards": (shards, "token shards", "3 tokens to train on, 3 for validation, vocabulary 50257 of GPT-2"),
    "shards with a tokenizer": (
        lambda f: shards(f, tokenizer=True), "token shards", "vocabulary 270 of the tokenizer beside them",
    ),
    "shards of nanoGPT": (
        lambda f: shards(f, raw=True), "token shards without a header", "--data-format raw takes them",
    ),
    "a run": (lambda f: of_run(f).parent, "a run's folder, 1 checkpoint", "step_00000007: step 7, its files"),
    "a tokenizer beside": (with_tokenizer(270), "Hugging Face hub", "tokenizer: tokenizer.json, 270 ids"),
    "a tokenizer": (lambda f: with_tokenizer(270)(f) / "tokenizer.json", "a tokenizer", "270 ids, 13 merges"),
    "vocab.bpe": (
        lambda _: Path(minigpt.__file__).parent / "gpt2/vocab.bpe", "a tokenizer", "GPT-2's vocab.bpe, byte",
    ),
    "encoder.json": (
        content(b'{"a": 0, "b": 1}', "encoder.json"), "a tokenizer", "from 2 tokens to their ids",
    ),
    "llm.c's tokenizer": (
        content(tokenizer_file), "a tokenizer of llm.c", "50,257 tokens, <|endoftext|> is 50256",
    ),
    "debug state": (content(debug_state), "a debug state of llm.c", "B=1, T=2, gradients of a model of no"),
    "optimizer state": (
        content(header(20240527, 1, 2, 1, 1, 0, 0, 0, 0, 0, 40) + floats(300)),
        "an optimizer state of llm.c", "step 40, rank 1 of 2, master weights: yes",
    ),
    "tokens": (
        content(header(20240520, 1, 3) + b"\x50\xc4\x01\0\x02\0"),
        "a token shard of llm.c", "3 tokens from 1 to 50256, 1 documents",
    ),
    "tokens of build-nanogpt": (content(npy(np.arange(9, dtype="<u2"))), ".npy", "9 tokens from 0 to 8"),
    "tokens of nanoGPT": (
        content(np.arange(900, dtype="<u2").tobytes()), "it may be nanoGPT's", "900 tokens",
    ),
    "npy": (
        content(npy(np.ones((2, 3)))), "a NumPy array", "2 x 3   float64           1           1       2.449",
    ),
    "HellaSwag": (
        content(header(20240522, 1, 2, 50) + example() + example(1)), "HellaSwag", "2 examples of 4",
    ),
    "a log": (log, "a log in llm.c's grammar", "validation loss: 8.5 at step 2"),
}  # fmt: skip


@pytest.mark.parametrize("name", SOUND)
def test_every_format_is_named_and_found_sound(tmp_path, inspect, name):
    make, title, line = SOUND[name]
    code, printed = inspect(make(tmp_path))
    assert code == 0, printed
    assert title in printed.splitlines()[0]
    assert line in printed
    assert printed.splitlines()[-1].startswith("verdict: ")


def zipped(name):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, b"\x80\x02")
    return file.getvalue()


def cut(make, missing):
    def spoil(folder):
        path = make(folder)
        path.write_bytes(path.read_bytes()[:-missing])
        return path

    return spoil


def spoilt_checkpoint(folder):
    path = of_run(folder)
    with open(path / "model.safetensors", "r+b") as file:
        file.seek(-1, 2)
        file.write(b"x")
    return path


def not_finite(folder):
    params = params_of()
    params["ln_f.bias"][3:5] = np.nan
    params["wpe.weight"][0, 0] = np.inf
    minigpt.save_weights(folder, CONFIG, params)
    return folder


def flipped_tensor(folder):
    shutil.copytree(FIXTURES / "openai", folder, dirs_exist_ok=True)
    with open(folder / "model.ckpt.data-00000-of-00001", "r+b") as file:
        file.write(b"\x7f")
    return folder


def pickled_folder(folder):
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x02")
    (folder / "config.json").write_text("{}")
    return folder


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 497774208\n"
BAD = {
    "nothing": (lambda f: f / "nowhere", "no such file"),
    "empty": (content(b""), "an empty file"),
    "llm.c cut": (cut(as_format("llmc"), 10), "10 too few; it was cut off"),
    "npz cut": (cut(as_format("npz"), 10), "damage"),
    "safetensors cut": (cut(lambda f: as_format("safetensors")(f) / "model.safetensors", 99), "99 too few"),
    "an old llm.c": (content(header(20240326, 1, 1024, V, 12, 12, 768)), "version 1: an old one"),
    "HTML": (
        content(b"<!DOCTYPE html><html><body>404 not found</body></html>"),
        "an HTML page; it is what a server",
    ),
    "LFS": (content(LFS, "model.safetensors"), "a git-LFS pointer; fetch what it stands for"),
    "LFS in a folder": (
        lambda f: content(LFS, "model.safetensors")(as_format("safetensors")(f)).parent,
        "model.safetensors: expected a safetensors file, found a git-LFS pointer",
    ),
    "HTML for an index": (
        content(b"<html><body>moved</body></html>" * 9, "model.ckpt.index"), "found an HTML page",
    ),
    "gzip": (content(gzip.compress(b"x" * 99)), "a gzip file; unpack it first"),
    "pickle": (content(b"\x80\x02}q\0.", "model.pt"), "a pickle can run any code while it is read"),
    "PyTorch's zip": (content(zipped("archive/data.pkl"), "model.pt"), "a pickle can run any code"),
    "PyTorch's folder": (pickled_folder, "save_pretrained"),
    "Keras": (content(b"\x89HDF\r\n\x1a\n"), "an HDF5 file"),
    "text": (content(b"To be, or not to be, that is the question.\n" * 9), "found text, 'To be, or"),
    "wrong magic": (
        content(struct.pack("<256i", 20240999, *[7] * 255)), "a file that begins with 67 da 34 01",
    ),
    "swapped": (content(struct.pack(">256i", 20240326, *[3] * 255)), "with swapped bytes"),
    "llama-3's tokens": (content(header(20240801, 7, 1) + bytes(4)), "a llama-3 shard"),
    "tokens cut": (content(header(20240520, 1, 9) + bytes(10)), "1,034, 8 too few"),
    "tokens of another vocabulary": (
        content(header(20240520, 1, 1) + b"\xff\xff"),
        "tokens of a vocabulary of 50,257, found 65535 at position 0",
    ),
    "a tokenizer of another model": (content(tokenizer_file(300)), "wrong vocabulary"),
    "its end missing": (content(tokenizer_file()[:-1]), "the end of the file within token 50,256"),
    "a tokenizer too large": (
        with_tokenizer(301), "at most 300 ids, as the model has, found 301: wrong vocabulary",
    ),
    "debug state cut": (cut(content(debug_state), 2), "a debug state of llm.c: B="),
    "debug state of nothing": (content(header(20240327, 2, 0, 64)), "B=0, T=64"),
    "debug state not finite": (
        content(lambda: debug_state(value=np.nan)), "gradients: 404,240 of 404,240 numbers are not finite",
    ),
    "optimizer state of nobody": (content(header(20240527, 1, 2, 2) + floats(9)), "rank 2"),
    "HellaSwag short": (content(header(20240522, 1, 3, 50) + example()), "expected 3 examples.* found 1"),
    "HellaSwag cut": (content(header(20240522, 1, 1, 50) + example()[:-2]), "example 0: .* cut off"),
    "HellaSwag's ids": (content(header(20240522, 1, 1, 50) + example(ids=(V, 1))), "50257: wrong vocabulary"),
    "HellaSwag's label": (content(header(20240522, 1, 1, 50) + example(label=9)), "a label below 4"),
    "another version": (content(header(20240522, 2, 1, 50)), "expected version 1, found version 2"),
    "a checkpoint changed": (spoilt_checkpoint, "model.safetensors is damaged"),
    "not finite": (
        not_finite, r"wpe.weight: 1 of 48 numbers are not finite \(and 1 more tensors with faults\)",
    ),
    "a flipped bit": (flipped_tensor, "model/.*: expected a checksum of"),
    "npy of objects": (content(npy(np.array(["a"]))), "expected plain numbers"),
    "npy cut": (content(npy(np.ones(3))[:-1]), "1 too few"),
    "ids twice": (content(b'{"a": 0, "b": 0}', "encoder.json"), "the ids from 0 to 1, each once"),
    "a folder of nothing": (
        lambda f: f, "a folder with model.safetensors, or OpenAI's model.ckpt, found neither",
    ),
    "a run without a sound checkpoint": (lambda f: spoilt_checkpoint(f).parent, "none of its checkpoints is"),
    "a shard among others, cut": (
        lambda f: cut(lambda f: shards(f) / "x_train_000001.bin", 1)(f).parent, "x_train_000001.bin: exp",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_every_fault_gets_a_verdict_in_words(tmp_path, inspect, name):
    make, message = BAD[name]
    code, printed = inspect(make(tmp_path))
    last = printed.splitlines()[-1]
    assert code == 2, printed
    assert last.startswith("verdict: not usable. ")
    assert re.search(message, last), last
    assert "Traceback" not in printed


def test_the_table_says_what_the_numbers_are_like(tmp_path, inspect):
    params = params_of()
    params["ln_f.bias"][:] = [-3, 0, 0, 0, 0, 0, 0, 4]
    minigpt.save_weights(tmp_path / "x.npz", CONFIG, params, format="npz")
    lines = inspect(tmp_path / "x.npz")[1].splitlines()
    assert lines[1] == (
        "model: 2 layers, 2 heads, 8 channels, context 6, vocabulary 300: none of GPT-2's published sizes"
    )
    assert [line.split()[0] for line in lines[3:-2]] == list(params)
    assert lines[-3].split() == ["ln_f.bias", "8", "float32", "-3", "4", "5"]


def test_tensors_without_heads_are_listed_all_the_same(tmp_path, inspect):
    np.savez(tmp_path / "x.npz", **params_of())
    code, printed = inspect(tmp_path / "x.npz")
    assert code == 2
    assert "h.1.mlp.c_proj.bias" in printed
    assert "say n_head=" in printed.splitlines()[-1]
    assert inspect(tmp_path / "x.npz", n_head=2)[0] == 0


def test_a_published_size_is_named(tmp_path, inspect):
    words = {"n_vocab": V, "n_ctx": 1024, "n_embd": 1600, "n_head": 25, "n_layer": 48}
    (tmp_path / "hparams.json").write_text(json.dumps(words))
    assert "GPT-2 1558M (gpt2-xl)" in inspect(tmp_path / "hparams.json")[1]


def test_what_a_terminal_obeys_in_a_name_is_escaped(tmp_path, inspect):
    header = json.dumps({"a\x1b[2J\ud800": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    (tmp_path / "x.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    _, out = inspect(tmp_path / "x.safetensors")
    assert r"a\x1b[2J\ud800" in out
    assert "\x1b" not in out


def test_a_run_is_shown_with_its_checkpoints_the_newest_first_and_which_is_sound(tmp_path, inspect):
    tokenizer = minigpt.Tokenizer.train(["to be or not to be"], 260)
    for step in (3, 7, 12):
        checkpoint.save(tmp_path, CONFIG, new_state(params_of())._replace(step=step), {}, tokenizer)
    (tmp_path / "step_00000020.damaged").mkdir()
    (tmp_path / "step_00000012" / "config.json").write_bytes(b"")
    code, printed = inspect(tmp_path)
    lines = printed.splitlines()
    assert code == 0
    assert lines[0] == f"{tmp_path}: a run's folder, 3 checkpoints, the newest first"
    assert re.match(r"  step_00000012: .*config.json is damaged: expected .* bytes, found 0", lines[1])
    assert lines[2:4] == [f"  step_0000000{n}: step {n}, its files are as state.json says" for n in (7, 3)]
    newest = tmp_path / "step_00000007"
    assert lines[4].startswith(f"verdict: a run to go on with; `minigpt inspect {newest}`")
    assert len(lines) == 5


def test_a_checkpoint_without_the_optimizers_file_says_what_it_is_good_for(tmp_path, inspect):
    last = inspect(without_moments(tmp_path))[1].splitlines()[-1]
    assert "without optimizer.safetensors no run can be resumed from here, but sample, evaluate" in last


def test_a_run_given_for_weights_is_not_told_to_take_what_was_set_aside(tmp_path):
    of_run(tmp_path)
    (tmp_path / "step_00000009.damaged").mkdir()
    with pytest.raises(minigpt.CheckpointError, match=r"give one of its checkpoints, .*step_00000007$"):
        minigpt.load_weights(tmp_path)


@pytest.mark.parametrize("name", ["open/secret", "closed", "closed/inside"])
def test_what_may_not_be_read_is_said_with_the_way_out(inspect, name):
    with tempfile.TemporaryDirectory() as place:  # where others may look, unlike in tmp_path
        for folder in ("open", "closed"):
            (Path(place) / folder).mkdir(mode=0o755)
        as_format("npz")(Path(place) / "open").rename(Path(place) / "open" / "secret")
        for path in (place, f"{place}/open/secret", f"{place}/closed"):
            os.chmod(path, 0o755 if path == place else 0)
        before = os.geteuid()
        if before == 0:
            os.seteuid(65534)
        try:
            code, printed = inspect(f"{place}/{name}")
        finally:
            os.seteuid(before)
        said = "cannot be read: Permission denied; give this user the right to read it, with chmod or chown"
        assert (code, printed) == (2, f"verdict: not usable. {place}/{name}: {said}\n")
