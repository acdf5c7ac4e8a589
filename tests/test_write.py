"""minigpt sample: what streams out, in which pieces, and how it ends when it is interrupted."""

import io
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import minigpt
from minigpt import cli
from minigpt.choice import Choice
from minigpt.write import row_of

TEXT = "état 漢字 🙂 the nation and the people. " * 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model that wanders, with bytes as most of its tokens."""
    folder = tmp_path_factory.mktemp("model")
    tok = minigpt.Tokenizer.train([TEXT], 270)
    config = minigpt.GPTConfig(n_layer=1, n_head=2, n_embd=16, n_ctx=12, n_vocab=tok.n_vocab)
    params = minigpt.init_params(config)
    params.buffer[:] *= 10
    # channel 0 is the same at every place, and read by <|endoftext|> alone: it never comes
    params["ln_f.weight"][0], params["ln_f.bias"][0], params["wte.weight"][:, 0] = 0, 10, 0
    params["wte.weight"][tok.eot, 0] = -100
    minigpt.save_weights(folder, config, params)
    tok.save(folder / "tokenizer.json")
    return folder


@pytest.fixture
def sample(folder, capfdbinary, monkeypatch):
    """Run minigpt sample in this process: exit code, standard output, standard error."""

    def run(*arguments, stdin=b""):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        code = cli.main(["sample", "--weights", str(folder), *map(str, arguments)])
        out, err = capfdbinary.readouterr()
        return code, out.decode(), err.decode()

    return run


def expected(folder, prompt, seed=0, n=40, **options):
    """What generate says of the same prompt."""
    config, params = minigpt.load_weights(folder)
    tok = minigpt.Tokenizer.load(folder)
    options = {"temperature": 0.7, "top_k": 50, "slide": 3, "stop": [tok.eot]} | options
    ids = minigpt.generate(config, params, [tok.eot, *tok.encode(prompt)], n, seed=seed, **options)
    return tok.decode([id for id in ids if id != tok.eot])


def test_text_is_what_generate_says(sample, folder):
    code, out, err = sample("--prompt", "the é", "--max-new-tokens", 40)
    assert (code, out) == (0, "the é" + expected(folder, "the é") + "\n")
    assert " tokens/s\n" in err
    greedy = sample("--prompt", "the", "--max-new-tokens", 40, "--temperature", 0)[1]
    assert greedy == "the" + expected(folder, "the", temperature=0) + "\n"


def test_no_prompt_is_the_beginning_of_a_document(sample, folder):
    assert sample("--max-new-tokens", 40)[1] == expected(folder, "") + "\n"


def test_samples_have_seeds_one_after_the_other(sample, folder):
    _, out, _ = sample("--prompt", "a", "--num-samples", 2, "--seed", 5, "--max-new-tokens", 40)
    one, other = (expected(folder, "a", seed) for seed in (5, 6))
    assert out == f"--- sample 1 of 2\na{one}\n--- sample 2 of 2\na{other}\n"
    assert one != other


def test_json_is_an_object_a_sample(sample, folder):
    _, out, _ = sample("--prompt", "a", "--num-samples", 2, "--json", "--show-probs", "--max-new-tokens", 9)
    records = [json.loads(line) for line in out.splitlines()]
    tok = minigpt.Tokenizer.load(folder)
    for seed, record in enumerate(records):
        assert record["seed"] == seed
        assert record["text"] == expected(folder, "a", seed, 9) == tok.decode(record["ids"])
        assert len(record["candidates"]) == len(record["ids"])
        for id, candidates in zip(record["ids"], record["candidates"], strict=True):
            assert id in [candidate[0] for candidate in candidates]
            assert sum(candidate[2] for candidate in candidates) <= 1 + 1e-9


def test_prompts_come_from_a_file_whole_or_line_by_line(sample, folder, tmp_path):
    (tmp_path / "prompts.txt").write_text("the\nand é\n", encoding="utf-8")
    options = ("--max-new-tokens", 20, "--prompt-file", tmp_path / "prompts.txt")
    assert sample(*options)[1] == "the\nand é\n" + expected(folder, "the\nand é\n", n=20) + "\n"
    _, out, _ = sample(*options, "--lines", "--json")
    assert [json.loads(line)["prompt"] for line in out.splitlines()] == ["the", "and é"]
    _, out, _ = sample("--max-new-tokens", 20, "--prompt-file", "-", stdin="é".encode())
    assert out == "é" + expected(folder, "é", n=20) + "\n"


def test_show_probs_shows_the_distribution_that_is_drawn_from(sample, folder):
    _, out, _ = sample("--prompt", "the", "--show-probs", "--max-new-tokens", 4, "--top-k", 3)
    rows = out.splitlines()[1:5]
    for row in rows:
        assert row.count(">") >= 1
        shares = [float(part.split("%")[0].lstrip("> ")) for part in row.split("  ") if "%" in part]
        assert 2 <= len(shares) <= 3
        assert sum(shares) == pytest.approx(100, abs=0.2)


def test_a_row_of_probabilities_by_hand():
    row = row_of([(5, " the", 0.5), (7, "\n", 0.25)], 7)
    assert row == "  50.0% ' the'          > 25.0% '\\n'"


def test_greedy_shows_the_models_own_distribution():
    logits = np.log([0.5, 0.25, 0.25])
    np.testing.assert_allclose(Choice(0.0).probs(logits), [0.5, 0.25, 0.25])


def test_conversation_continues_lines_and_what_was_written(sample, folder):
    code, out, _ = sample("--interactive", "--max-new-tokens", 12, stdin=b"the\n\nand\n")
    first = "the" + expected(folder, "the", 0, 12)
    second = first + expected(folder, first, 1, 12)
    assert code == 0
    assert out == f"> {first}\n> {second}\n> and{expected(folder, 'and', 2, 12)}\n> \n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--prompt", "a", "--interactive"), "give one of --prompt, --prompt-file and --interactive"),
        (("--prompt-file", "none.txt"), "prompt_file: none.txt: cannot be read: No such file"),
        (("--lines",), "lines says how to read --prompt-file"),
        (("--num-samples", "0"), "num_samples must be"),
        (("--max-new-tokens", "-1"), "max_new_tokens must be"),
        (("--seed", "-1"), "seed must be"),
        (("--temperature", "-1"), "temperature must be"),
        (("--top-p", "2"), "top_p must be"),
        (("--top-p-rule", "best"), "top_p_rule must be one of smallest, openai"),
        (("--tokenizer", "gpt2"), "expected a tokenizer of"),
        (("--tokenizer", "none.json"), "expected a saved tokenizer"),
        (("--ops", "slow"), "ops must be"),
        (("--threads", "0"), "threads must be"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(sample, arguments, said):
    code, out, err = sample(*arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
    code, _, err = sample("--prompt-file", "-", stdin=b"a\xff")
    assert (code, err) == (2, "minigpt: prompt_file: -: expected UTF-8, found byte 1 not to be\n")


# ---- real processes -----------------------------------------------------------------------------------


def start(folder, *arguments):
    """A process that writes on and on, with no token by far the likeliest."""
    command = [sys.executable, "-m", "minigpt", "sample", "--weights", str(folder), "--prompt", "é"]
    command += ["--temperature", "1.5", "--top-k", "0", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_every_piece_that_streams_out_is_whole_characters(folder):
    """Read as it comes: no piece ends within a character, and pieces come before the end."""
    process = start(folder, "--max-new-tokens", "300")
    pieces = []
    while piece := os.read(process.stdout.fileno(), 2**16):
        pieces.append(piece.decode())  # a UnicodeDecodeError would be a broken character
    assert process.wait(timeout=60) == 0
    assert len(pieces) > 5
    assert "".join(pieces).startswith("é")


def test_ctrl_c_keeps_what_there_is_and_exits_with_130(folder):
    process = start(folder, "--max-new-tokens", "100000000")
    first = os.read(process.stdout.fileno(), 100)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert (first + out).decode().endswith("\n")
    assert b"Traceback" not in err
    assert b"tokens/s" in err


def test_a_reader_that_goes_away_ends_it_without_a_word(folder):
    process = start(folder, "--max-new-tokens", "100000000")
    os.read(process.stdout.fileno(), 1)
    process.stdout.close()
    assert process.wait(timeout=60) == 141
    assert process.stderr.read() == b""
