"""minigpt evaluate: what it says, on which tokens, and plain answers to what cannot be done."""

import hashlib
import io
import json
import math
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

import minigpt
from minigpt import cli, score
from minigpt.commands import Evaluate
from minigpt.evaluate import nats_of_rows
from minigpt.options import Recipe
from minigpt.questions import read_questions
from minigpt.shards import HEADER_INTS, MAGIC

TEXT = "The nation is the people, and the people are the nation. " * 30
ENTRY = {"ctx": "The nation", "label": 1, "endings": ["is", "is the people", "are", "nation"]}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A folder with a model and its tokenizer, a text file, a shard of the same tokens, and a question."""
    folder = tmp_path_factory.mktemp("model")
    tok = minigpt.Tokenizer.train([TEXT], 300)
    config = minigpt.GPTConfig(n_layer=1, n_head=2, n_embd=16, n_ctx=16, n_vocab=tok.n_vocab)
    params = minigpt.init_params(config)
    params.buffer[:] *= 4
    minigpt.save_weights(folder, config, params)
    tok.save(folder / "tokenizer.json")
    (folder / "text.txt").write_text(TEXT)
    ids = np.array([tok.eot, *tok.encode(TEXT)], "<u2")
    (folder / "val.bin").write_bytes(shard(ids))
    (folder / "one.jsonl").write_text(json.dumps(ENTRY) + "\n")
    return folder, config, params, tok, ids


def shard(ids):
    """ids as llm.c's file."""
    header = np.zeros(HEADER_INTS, "<i4")
    header[:3] = MAGIC, 1, len(ids)
    return header.tobytes() + np.asarray(ids, "<u2").tobytes()


@pytest.fixture
def evaluate(capfd):
    def run(*arguments):
        code = cli.main(["evaluate", *map(str, arguments)])
        out, err = capfd.readouterr()
        return code, out, err

    return run


@pytest.fixture
def batches(monkeypatch):
    """The shapes of all batches that are read from now on."""
    shapes = []

    def watched(model, tokens, targets):
        shapes.append(tokens.shape)
        return nats_of_rows(model, tokens, targets)

    for module in ("evaluate", "hellaswag"):
        monkeypatch.setattr(f"minigpt.{module}.nats_of_rows", watched)
    return shapes


# Data --------------------------------------------------------------------------------------------------


def test_the_score_is_that_of_all_tokens_but_the_first(model, evaluate):
    folder, config, params, _, ids = model
    code, out, err = evaluate("--weights", folder, "--data", folder / "val.bin", "--json")
    assert (code, err) == (0, "")
    total = 0.0
    for start in range(0, len(ids) - 1, 16):
        window = ids[start : start + 17].astype(int)
        logits = minigpt.logits(config, params, [window[:-1]])[0].astype(float)  # (T, V)
        total += (np.log(np.exp(logits).sum(1)) - logits[np.arange(len(logits)), window[1:]]).sum()
    nats = total / (len(ids) - 1)
    assert json.loads(out) == {
        "data": str(folder / "val.bin"),
        "files": [str(folder / "val.bin")],
        "tokens": len(ids) - 1,
        "of_tokens": len(ids),
        "ids_sha256": hashlib.sha256(ids.tobytes()).hexdigest(),
        "context": 16,
        "windows": math.ceil((len(ids) - 1) / 16),
        "bytes": len(TEXT),
        "nats_per_token": pytest.approx(nats, rel=1e-6),
        "perplexity": pytest.approx(math.exp(nats), rel=1e-5),
        "bits_per_byte": pytest.approx(total / math.log(2) / len(TEXT), rel=1e-6),
    }


def test_any_batch_size_gives_the_same_number_and_shards_the_same_as_text(model, evaluate):
    found = []
    for data, size in (("text.txt", 1), ("text.txt", 7), ("val.bin", 4), ("val.bin", 1000)):
        arguments = ("--weights", model[0], "--data", model[0] / data, "--batch-size", size, "--json")
        found.append(json.loads(evaluate(*arguments)[1]))
    nats = [record["nats_per_token"] for record in found]
    assert max(nats) - min(nats) < 1e-6
    assert len({record["ids_sha256"] for record in found}) == 1


def test_the_range_is_stated(model, evaluate):
    folder, *_, ids = model
    code, out, _ = evaluate("--weights", folder, "--data", folder / "val.bin", "--tokens", 32)
    assert code == 0
    first, second, third = out.splitlines()
    assert first.startswith(f"{folder / 'val.bin'}: 32 tokens scored, ")
    assert first.endswith(" bytes of text, in 2 windows of 16")
    sha256 = hashlib.sha256(ids[:33].tobytes()).hexdigest()
    assert second == f"ids 0 to 32 of {len(ids):,}, SHA-256 {sha256}; id 0 is read and not scored"
    assert " nats a token | perplexity " in third
    _, out, _ = evaluate("--weights", folder, "--data", folder / "val.bin", "--tokens", 0, "--json")
    assert json.loads(out)["tokens"] == len(ids) - 1
    short = evaluate("--weights", folder, "--data", folder / "val.bin", "--context", 8, "--tokens", 32)[1]
    assert "in 4 windows of 8" in short


def test_ids_of_every_size_have_the_sha256_of_all_their_bytes():
    for dtype in ("<u2", ">u2", "<u4", ">u4"):
        ids = np.array([1, 2, 300, 65000], dtype)
        expected = hashlib.sha256(ids.astype(f"<u{ids.itemsize}").tobytes()).hexdigest()
        assert score.sha256_of(ids) == expected
        assert score.sha256_of(ids[:3]) != expected


def test_of_shards_for_training_and_for_validation_the_latter_are_scored(model, tmp_path, capsys):
    for name, first in (("x_train_000000.bin", 3), ("x_val_000000.bin", 90), ("x_val_000001.bin", 150)):
        (tmp_path / name).write_bytes(shard((first + np.arange(40)) % 256))
    ask = ["evaluate", "--weights", str(model[0]), "--json", "--data"]
    assert cli.main([*ask, str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert [Path(file).name for file in json.loads(out)["files"]] == ["x_val_000000.bin", "x_val_000001.bin"]
    assert "2 of 3 shards are for validation by their names: these are scored" in err
    assert cli.main([*ask, str(tmp_path / "x_train_*.bin")]) == 0
    out, err = capsys.readouterr()
    assert [Path(file).name for file in json.loads(out)["files"]] == ["x_train_000000.bin"]
    assert "these are scored" not in err


def test_the_default_range_is_llm_cs_protocol(model, tmp_path):
    """20 batches of 64 windows of 1024: so many are scored, and the id before the first is read as well."""
    ids = np.arange(1_400_000) % 256
    (tmp_path / "val.bin").write_bytes(shard(ids))
    command = Evaluate(weights=str(model[0]), data=str(tmp_path / "val.bin"))
    found, n_all = score.ids_of(command, [tmp_path / "val.bin"], model[3])
    np.testing.assert_array_equal(found, ids[: 1_310_720 + 1])
    assert n_all == 1_400_000
    assert Recipe().eval_tokens == 1_310_720


def test_the_defaults_are_4_windows_of_all_that_the_model_can_read(model, evaluate, batches):
    evaluate("--weights", model[0], "--data", model[0] / "val.bin", "--tokens", 16 * 9)
    assert batches == [(4, 16), (4, 16), (1, 16)]
    batches.clear()
    evaluate("--weights", model[0], "--hellaswag", model[0] / "one.jsonl")
    assert [rows for rows, _ in batches] == [4]


def test_bytes_are_those_of_the_tokens_that_are_scored(model, evaluate, tmp_path):
    folder, _, _, tok, _ = model
    ids = np.array([*tok.encode("nation people"), tok.eot, *tok.encode(" the")], "<u2")
    ids.tofile(tmp_path / "val.bin")
    arguments = ("--weights", folder, "--data", tmp_path / "val.bin", "--data-format", "raw", "--json")
    record = json.loads(evaluate(*arguments)[1])
    size = sum(len(tok.tokens[id]) for id in ids[1:] if id != tok.eot)
    assert record["bytes"] == size
    bits = record["nats_per_token"] * (len(ids) - 1) / math.log(2) / size
    assert record["bits_per_byte"] == pytest.approx(bits)


# HellaSwag ---------------------------------------------------------------------------------------------


def test_hellaswag_is_scored_and_written(model, evaluate, tmp_path):
    folder, tok = model[0], model[3]
    arguments = ("--weights", folder, "--hellaswag", folder / "one.jsonl")
    code, out, _ = evaluate(*arguments, "--write-bin", tmp_path / "h.bin", "--json")
    assert code == 0
    record = json.loads(out)
    assert record.keys() == {"hellaswag", "n", "correct", "correct_norm", "acc", "acc_norm"}
    assert record["n"] == 1
    assert (record["acc"], record["acc_norm"]) == (record["correct"], record["correct_norm"])
    assert read_questions(tmp_path / "h.bin", tok) == read_questions(folder / "one.jsonl", tok)
    code, out, _ = evaluate("--weights", folder, "--hellaswag", tmp_path / "h.bin")
    assert (code, f"acc_norm {record['acc_norm']:.4f} ({record['correct_norm']} right)" in out) == (0, True)


def test_writing_the_bin_needs_no_model(model, evaluate, tmp_path):
    arguments = ("--hellaswag", model[0] / "one.jsonl", "--write-bin", tmp_path / "h.bin")
    code, out, _ = evaluate(*arguments)
    assert (code, out) == (0, f"{model[0] / 'one.jsonl'}: 1 questions, written to {tmp_path / 'h.bin'}\n")
    gpt2 = minigpt.Tokenizer.gpt2()
    assert read_questions(tmp_path / "h.bin", gpt2)[0].endings[1] == gpt2.encode(" is the people")
    record = json.loads(evaluate(*arguments, "--tokenizer", model[0], "--json")[1])
    assert record == {"hellaswag": str(model[0] / "one.jsonl"), "n": 1, "write_bin": str(tmp_path / "h.bin")}
    own = model[3].encode(" is the people")
    assert read_questions(tmp_path / "h.bin", model[3])[0].endings[1] == own


def test_the_source_stays_as_it_is(model, evaluate, tmp_path):
    (tmp_path / "h.jsonl").write_text(json.dumps(ENTRY))
    before = (tmp_path / "h.jsonl").read_bytes()
    arguments = ("--hellaswag", tmp_path / "h.jsonl", "--write-bin")
    code, _, err = evaluate("--weights", model[0], *arguments, tmp_path / "." / "h.jsonl")
    assert (code, "is what is read" in err) == (2, True)
    assert (tmp_path / "h.jsonl").read_bytes() == before
    code, _, err = evaluate(*arguments, model[0] / "model.safetensors")
    assert (code, "was made by something else" in err) == (2, True)


# What a person sees, and does --------------------------------------------------------------------------


class Terminal(io.StringIO):
    """Standard error as a terminal."""

    def isatty(self):
        return True


def test_a_terminal_shows_how_far_it_is_and_a_file_does_not(model, evaluate, monkeypatch):
    folder, *_, ids = model
    for what, n, unit in (("data", math.ceil((len(ids) - 1) / 16), "window"), ("hellaswag", 4, "completion")):
        path = folder / {"data": "val.bin", "hellaswag": "one.jsonl"}[what]
        assert evaluate("--weights", folder, f"--{what}", path)[2] == ""
        terminal = Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)
        assert evaluate("--weights", folder, f"--{what}", path)[0] == 0
        last = terminal.getvalue().split("\r")[-1]
        assert last.startswith("100%")
        assert f"{n}/{n}" in last
        assert unit in last
        monkeypatch.undo()


def test_without_standard_error_there_is_no_bar(model, evaluate, monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    assert evaluate("--weights", model[0], "--data", model[0] / "val.bin", "--tokens", 16)[0] == 0


@pytest.mark.parametrize(("what", "name"), [("data", "val.bin"), ("hellaswag", "one.jsonl")])
def test_ctrl_c_ends_it_with_130_and_no_traceback(model, evaluate, monkeypatch, what, name):
    def struck(model, tokens, targets):
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("goes on after Ctrl-C")

    for module in ("evaluate", "hellaswag"):
        monkeypatch.setattr(f"minigpt.{module}.nats_of_rows", struck)
    assert evaluate("--weights", model[0], f"--{what}", model[0] / name) == (130, "", "")


def test_a_reader_that_is_gone_ends_it_quietly(model, monkeypatch, capfd):
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as gone:
        monkeypatch.setattr(sys, "stdout", gone)
        assert cli.main(["evaluate", "--weights", str(model[0]), "--data", str(model[0] / "val.bin")]) == 141
    assert capfd.readouterr().err == ""


def test_nowhere_to_write_to_is_said_before_the_work(model, evaluate, monkeypatch, batches):
    monkeypatch.setattr(sys, "stdout", None)
    code, _, err = evaluate("--weights", model[0], "--data", model[0] / "val.bin")
    assert (code, err) == (2, "minigpt: standard output is closed: there is nowhere to write to\n")
    assert batches == []


def test_names_that_standard_output_cannot_write_are_escaped(model, monkeypatch):
    (model[0] / "é.txt").write_text(TEXT)
    ascii_only = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", ascii_only)
    assert cli.main(["evaluate", "--weights", str(model[0]), "--data", str(model[0] / "é.txt")]) == 0
    assert rb"\xe9.txt: 391 tokens scored" in ascii_only.buffer.getvalue()


def test_weights_that_are_not_finite_are_named(model, evaluate, tmp_path):
    _, config, params, tok, _ = model
    minigpt.save_weights(tmp_path / "nan", config, {name: param * np.nan for name, param in params.items()})
    tok.save(tmp_path / "nan" / "tokenizer.json")
    for what in (("--data", model[0] / "text.txt"), ("--hellaswag", model[0] / "one.jsonl")):
        code, out, err = evaluate("--weights", tmp_path / "nan", *what)
        assert (code, out) == (1, "")
        nan = tmp_path / "nan"
        said = f"{nan}: the model's scores are NaN or infinite: its weights are not usable"
        assert f"minigpt: {said}; minigpt inspect {nan} says which tensor\n" in err


HELLASWAG = ("--weights", ".", "--hellaswag", "one.jsonl")
DATA = ("--weights", ".", "--data", "text.txt")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--weights", "."), "give one of --data FILES and --hellaswag FILE: found neither"),
        ((*DATA, "--hellaswag", "b"), "give one of --data FILES and --hellaswag FILE: found both"),
        (("--data", "text.txt"), "give the model by --weights PATH; only --write-bin needs none"),
        (("--hellaswag", "one.jsonl"), "give the model by --weights PATH; only --write-bin needs none"),
        (("--weights", ".", "--data", "none*.txt"), "data: no file matches 'none*.txt'"),
        (("--weights", ".", "--data", "empty.txt"), "expected 2 tokens or more to score, found 1"),
        (("--weights", ".", "--data", "ends.bin"), "nothing to score: 3 tokens that stand for no text"),
        (("--weights", "none", "--data", "text.txt"), "none: no such file"),
        (("--weights", "", "--data", "text.txt"), "--weights: expected a path, found none; is a variable"),
        (("--weights", ".", "--data", ""), "--data: expected a path, found none"),
        (("--weights", ".", "--hellaswag", ""), "--hellaswag: expected a path, found none"),
        ((*HELLASWAG, "--write-bin", ""), "--write-bin: expected a path, found none"),
        ((*DATA, "--batch-size", "0"), "--batch-size must be"),
        ((*DATA, "--batch-size", "-1"), "--batch-size must be"),
        ((*DATA, "--tokens", "-1"), "--tokens must be"),
        ((*DATA, "--tokens", "99999999999"), "--tokens must be"),
        ((*DATA, "--context", "0"), "--context must be"),
        ((*DATA, "--context", "17"), "--context must be"),
        ((*DATA, "--threads", "0"), "--threads must be"),
        ((*DATA, "--ops", "slow"), "--ops must be"),
        ((*DATA, "--tokenizer", "gpt2"), "expected a tokenizer of"),
        (
            (*DATA, "--write-bin", "x.bin"),
            "--write-bin: writes the questions of --hellaswag, and --data has none",
        ),
        ((*HELLASWAG, "--tokens", "5"), "--tokens: is about --data, not --hellaswag; leave it out"),
        ((*HELLASWAG, "--context", "5"), "--context: is about --data, not --hellaswag; leave it out"),
        (
            (*HELLASWAG, "--data-format", "raw"),
            "--data-format: is about --data, not --hellaswag; leave it out",
        ),
        ((*HELLASWAG, "--tokens", "0", "--context", "1"), "--context and --tokens: "),
        (
            ("--hellaswag", "one.jsonl", "--write-bin", "x.bin", "--batch-size", "8"),
            "--batch-size: is about a model",
        ),
        (
            ("--hellaswag", "one.jsonl", "--write-bin", "x.bin", "--ops", "fast", "--threads", "1"),
            "--threads: is",
        ),
        (("--hellaswag", "one.jsonl", "--write-bin", "no/x.bin"), "x.bin: not writable: No such file"),
        (("--hellaswag", "one.jsonl", "--write-bin", "."), "expected the name of a file, found a folder"),
        ((*HELLASWAG[:3], "none.jsonl"), "cannot be read"),
        ((*HELLASWAG[:3], "val.bin"), "expected questions, found a shard of llm.c"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(model, evaluate, monkeypatch, arguments, said):
    monkeypatch.chdir(model[0])
    (model[0] / "empty.txt").touch()
    (model[0] / "ends.bin").write_bytes(shard([model[3].eot] * 4))
    code, out, err = evaluate(*arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert err.startswith("minigpt: ")
    assert err.count("\n") == 1
    assert not (model[0] / "x.bin").exists()
