"""minigpt evaluate: one number for any batch size, a stated range, and plain answers to bad input."""

import json
import math

import numpy as np
import pytest

import minigpt
from minigpt import cli
from minigpt.shards import HEADER_INTS, MAGIC

TEXT = "The nation is the people, and the people are the nation. " * 30


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A folder with a model and its tokenizer, a text file, and a shard of the same tokens."""
    folder = tmp_path_factory.mktemp("model")
    tok = minigpt.Tokenizer.train([TEXT], 300)
    config = minigpt.GPTConfig(n_layer=1, n_head=2, n_embd=16, n_ctx=16, n_vocab=tok.n_vocab)
    params = minigpt.init_params(config)
    params.buffer[:] *= 4
    minigpt.save_weights(folder, config, params)
    tok.save(folder / "tokenizer.json")
    (folder / "text.txt").write_text(TEXT)
    ids = np.array([tok.eot, *tok.encode(TEXT)], "<u2")
    header = np.zeros(HEADER_INTS, "<i4")
    header[:3] = MAGIC, 1, len(ids)
    (folder / "val.bin").write_bytes(header.tobytes() + ids.tobytes())
    return folder, config, params, tok, ids


@pytest.fixture
def evaluate(capfd):
    def run(*arguments):
        code = cli.main(["evaluate", *map(str, arguments)])
        out, err = capfd.readouterr()
        return code, out, err

    return run


def test_any_batch_size_gives_the_same_number_and_shards_the_same_as_text(model, evaluate):
    folder, config, params, _, ids = model
    found = []
    for data, size in (("text.txt", 1), ("text.txt", 7), ("val.bin", 4)):
        code, out, _ = evaluate("--weights", folder, "--data", folder / data, "--batch-size", size, "--json")
        assert code == 0
        found.append(json.loads(out))
    nats = [record["nats_per_token"] for record in found]
    assert max(nats) - min(nats) < 1e-6
    assert len({record["ids_sha256"] for record in found}) == 1
    total = 0.0
    for start in range(0, len(ids) - 1, 16):
        window = ids[start : start + 17].astype(int)
        logits = minigpt.logits(config, params, [window[:-1]])[0].astype(float)  # (T, V)
        total += (np.log(np.exp(logits).sum(1)) - logits[np.arange(len(logits)), window[1:]]).sum()
    assert found[0]["tokens"] == len(ids) - 1
    assert nats[0] == pytest.approx(total / (len(ids) - 1), rel=1e-6)
    assert found[0]["perplexity"] == pytest.approx(math.exp(nats[0]))
    bits = nats[0] * (len(ids) - 1) / math.log(2) / len(TEXT)
    assert found[0]["bits_per_byte"] == pytest.approx(bits)


def test_the_range_is_stated(model, evaluate):
    folder, *_, ids = model
    code, out, _ = evaluate("--weights", folder, "--data", folder / "val.bin", "--tokens", 32)
    assert code == 0
    assert f"ids 0 to 32 of {len(ids):,} in 2 windows of 16, SHA-256 " in out
    assert "nats a token | perplexity " in out
    _, out, _ = evaluate("--weights", folder, "--data", folder / "val.bin", "--tokens", 0, "--json")
    assert json.loads(out)["tokens"] == len(ids) - 1
    short = evaluate("--weights", folder, "--data", folder / "val.bin", "--context", 8, "--tokens", 32)[1]
    assert "in 4 windows of 8" in short


def test_weights_that_are_not_finite_are_named(model, evaluate, tmp_path):
    _, config, params, tok, _ = model
    minigpt.save_weights(tmp_path / "nan", config, {name: param * np.nan for name, param in params.items()})
    tok.save(tmp_path / "nan" / "tokenizer.json")
    (tmp_path / "h.jsonl").write_text('{"ctx": "The", "label": 1, "endings": ["a", "b", "c", "d"]}')
    for what in (("--data", model[0] / "text.txt"), ("--hellaswag", tmp_path / "h.jsonl")):
        code, out, err = evaluate("--weights", tmp_path / "nan", *what)
        assert (code, out) == (1, "")
        assert "NaN or infinite" in err


def test_bytes_are_those_of_the_tokens_that_are_scored(model, evaluate, tmp_path):
    folder, _, _, tok, _ = model
    ids = np.array([*tok.encode("nation people"), *tok.encode(" the")], "<u2")
    ids.tofile(tmp_path / "val.bin")
    arguments = ("--weights", folder, "--data", tmp_path / "val.bin", "--data-format", "raw", "--json")
    record = json.loads(evaluate(*arguments)[1])
    size = len(tok.decode_bytes(ids[1:]))
    bits = record["nats_per_token"] * (len(ids) - 1) / math.log(2) / size
    assert record["bits_per_byte"] == pytest.approx(bits)


def test_hellaswag_is_scored_and_written(model, evaluate, tmp_path):
    folder, *_ = model
    entry = {"ctx": "The nation", "label": 1, "endings": ["is", "is the people", "are", "nation"]}
    (tmp_path / "h.jsonl").write_text(json.dumps(entry) + "\n")
    arguments = ("--weights", folder, "--hellaswag", tmp_path / "h.jsonl")
    code, out, _ = evaluate(*arguments, "--write-bin", tmp_path / "h.bin", "--json")
    assert code == 0
    record = json.loads(out)
    assert record["n"] == 1
    assert record["acc"] == record["correct"]
    code, out, _ = evaluate("--weights", folder, "--hellaswag", tmp_path / "h.bin")
    assert (code, f"acc_norm {record['acc_norm']:.4f} ({record['correct_norm']})" in out) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "give one of --data and --hellaswag"),
        (("--data", "a", "--hellaswag", "b"), "give one of --data and --hellaswag"),
        (("--data", "none*.txt"), "none"),
        (("--data", "text.txt", "--batch-size", "0"), "batch_size must be"),
        (("--data", "text.txt", "--tokens", "-1"), "tokens must be"),
        (("--data", "text.txt", "--context", "17"), "context must be"),
        (("--data", "text.txt", "--tokenizer", "gpt2"), "expected a tokenizer of"),
        (("--hellaswag", "none.jsonl"), "cannot be read"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(model, evaluate, monkeypatch, arguments, said):
    monkeypatch.chdir(model[0])
    code, out, err = evaluate("--weights", ".", *arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
