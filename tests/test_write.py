"""minigpt sample: what streams out, in which pieces, and how it ends when it is interrupted."""

import io
import itertools
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
import weakref
from types import SimpleNamespace

import numpy as np
import pytest

import minigpt
from minigpt import cli, writer
from minigpt.choice import Choice
from minigpt.decode import Decoder
from minigpt.write import row_of

TEXT = "état 漢字 🙂 the nation and the people. " * 20


TOK = minigpt.Tokenizer.train([TEXT], 270)


def save_model(folder, ending):
    """A model that wanders, most of its tokens being bytes; ending is added to <|endoftext|>'s score."""
    config = minigpt.GPTConfig(n_layer=1, n_head=2, n_embd=16, n_ctx=12, n_vocab=TOK.n_vocab)
    params = minigpt.init_params(config)
    params.buffer[:] *= 10
    # channel 0 is the same at every place, and read by <|endoftext|> alone
    params["ln_f.weight"][0], params["ln_f.bias"][0], params["wte.weight"][:, 0] = 0, 10, 0
    params["wte.weight"][TOK.eot, 0] = ending / 10
    minigpt.save_weights(folder, config, params)
    TOK.save(folder / "tokenizer.json")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model that never ends a text."""
    return save_model(tmp_path_factory.mktemp("model"), ending=-1000)


@pytest.fixture(scope="module")
def ending(tmp_path_factory):
    """A model that ends its texts soon."""
    return save_model(tmp_path_factory.mktemp("ending"), ending=10)


@pytest.fixture
def sample(folder, capfdbinary, monkeypatch):
    """Run minigpt sample in this process: exit code, standard output, standard error."""

    def run(*arguments, stdin=b""):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        weights = [] if "--weights" in arguments else ["--weights", str(folder)]
        code = cli.main(["sample", *weights, *map(str, arguments)])
        out, err = capfdbinary.readouterr()
        return code, out.decode(), err.decode()

    return run


def expected(folder, prompt, seed=0, n=40, **options):
    """What generate says of the same prompt."""
    config, params = minigpt.load_weights(folder)
    tok = minigpt.Tokenizer.load(folder)
    options = {"temperature": 0.7, "top_k": 50, "slide": 3, "stop": [tok.eot]} | options
    ids = minigpt.generate(config, params, tok.encode(prompt), n, seed=seed, **options)
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


def test_a_text_ends_where_the_model_ends_it(sample, ending):
    """<|endoftext|> is no text, but it was drawn: --show-probs and --json tell of it."""
    options = ("--weights", ending, "--prompt", "the")
    record = json.loads(sample(*options, "--json", "--show-probs")[1])
    config, params = minigpt.load_weights(ending)
    drawing = {"temperature": 0.7, "top_k": 50, "slide": 3, "stop": [TOK.eot]}
    ids = minigpt.generate(config, params, TOK.encode("the"), 100, **drawing)
    assert record["ids"] == ids
    assert 2 <= len(ids) < 100
    assert ids.index(TOK.eot) == len(ids) - 1
    assert record["text"] == TOK.decode(ids[:-1])
    assert TOK.eot in [candidate[0] for candidate in record["candidates"][-1]]

    _, out, err = sample(*options)
    assert out == "the" + TOK.decode(ids[:-1]) + "\n"
    assert err.startswith(f"{len(ids)} tokens in ")
    rows = sample(*options, "--show-probs")[1].splitlines()
    assert len(rows) == 1 + len(ids)
    assert [">" in row.split("'<|endoftext|>'")[0][-8:] for row in rows[1:]].count(True) >= 1
    assert ">" in rows[-1].split("'<|endoftext|>'")[0][-9:]


def test_json_is_an_object_a_sample(sample, folder):
    _, out, _ = sample("--prompt", "a", "--num-samples", 2, "--json", "--show-probs", "--max-new-tokens", 9)
    records = [json.loads(line) for line in out.splitlines()]
    assert len(records) == 2
    for seed, record in enumerate(records):
        assert (record["seed"], record["partial"]) == (seed, False)
        assert record["text"] == expected(folder, "a", seed, 9) == TOK.decode(record["ids"])
        assert len(record["candidates"]) == len(record["ids"])
        for id, candidates in zip(record["ids"], record["candidates"], strict=True):
            assert id in [candidate[0] for candidate in candidates]
            assert sum(candidate[2] for candidate in candidates) <= 1 + 1e-9


def test_prompts_come_from_a_file_whole_or_line_by_line(sample, folder, tmp_path):
    (tmp_path / "prompts.txt").write_text("the\nand é\n", encoding="utf-8")
    options = ("--max-new-tokens", 20, "--prompt-file", tmp_path / "prompts.txt")
    assert sample(*options)[1] == "the\nand é\n" + expected(folder, "the\nand é\n", n=20) + "\n"
    _, out, _ = sample("--max-new-tokens", 20, "--prompt-file", "-", stdin="é".encode())
    assert out == "é" + expected(folder, "é", n=20) + "\n"
    one, other = expected(folder, "the", n=20), expected(folder, "and é", n=20)
    assert sample(*options, "--lines")[1] == f"--- sample 1 of 2\nthe{one}\n--- sample 2 of 2\nand é{other}\n"


@pytest.mark.parametrize(
    ("content", "prompts"),
    [
        ("the\nand\n", ["the", "and"]),
        ("the\r\nand", ["the", "and"]),
        ("\ufeffthe\nand\ufeff", ["the", "and\ufeff"]),  # a byte order mark, and what is none
        ("\n \nthe\n\t\r\n\nand\n\n", ["the", "and"]),  # blank lines
        (" the \n", [" the "]),
        ("a\u2028b\x0cc\x0bd\x85e\x1cf\rg\u2029h\n", ["a\u2028b\x0cc\x0bd\x85e\x1cf\rg\u2029h"]),
    ],
)
def test_lines_end_at_newlines_and_nowhere_else(sample, content, prompts):
    options = ("--prompt-file", "-", "--lines", "--json", "--max-new-tokens", 1)
    _, out, _ = sample(*options, stdin=content.encode())
    assert [json.loads(line)["prompt"] for line in out.split("\n")[:-1]] == prompts


def test_a_byte_order_mark_is_no_part_of_a_whole_file(sample, folder):
    _, out, _ = sample("--max-new-tokens", 9, "--prompt-file", "-", stdin="\ufeffthe".encode())
    assert out == "the" + expected(folder, "the", n=9) + "\n"


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0.0},
        {"temperature": 0.0, "top_k": 2},
        {"temperature": 0.7, "top_k": 3},
        {"temperature": 1.5, "top_p": 0.6},
    ],
)
def test_what_is_shown_is_what_is_drawn_from(sample, folder, options):
    """Every row holds the likeliest five of the distribution, which is made here from the model's logits."""
    config, params = minigpt.load_weights(folder)
    flags = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)]
    _, out, _ = sample("--prompt", "the", "--show-probs", "--json", "--max-new-tokens", 7, *flags)
    record, choice = json.loads(out), Choice(**{"top_k": 50} | options)
    greedy = options["temperature"] == 0
    for n, shown in enumerate(record["candidates"]):
        logits = minigpt.logits(config, params, [[*TOK.encode("the"), *record["ids"][:n]]])[0, -1]
        probs = Choice(1.0).probs(logits) if greedy else choice.probs(logits)
        likeliest = [id for id in np.argsort(-probs)[:5] if probs[id] > 0]
        taken = record["ids"][n]
        assert [id for id, *_ in shown] == likeliest + [taken] * (taken not in likeliest)
        for id, text, prob in shown:
            assert text == TOK.decode([id])
            assert prob == pytest.approx(probs[id], rel=1e-3)
        assert not greedy or record["ids"][n] == shown[0][0]


def test_the_token_that_was_taken_is_marked(sample, folder):
    options = ("--prompt", "the", "--show-probs", "--max-new-tokens", 20, "--temperature", 1.5)
    record = json.loads(sample(*options, "--json")[1])
    rows = sample(*options)[1].split("\n")
    assert (rows[0], rows[-1], len(rows)) == ("the", "", 22)
    assert rows[1:-1] == [row_of(*row) for row in zip(record["candidates"], record["ids"], strict=True)]


def test_a_row_of_probabilities_by_hand():
    row = row_of([(5, " the", 0.5), (7, "\n", 0.25)], 7)
    assert row == "  50.0% ' the'          > 25.0% '\\n'"


class Passes:
    """Counts how many tokens the model reads in each pass, and lets Ctrl-C come in one of them."""

    def __init__(self, monkeypatch, ctrl_c=None):
        self.lengths, read = [], Decoder.read

        def counted(decoder, cache, tokens):
            self.lengths.append(tokens.shape[1])
            if len(self.lengths) - 1 == ctrl_c:
                raise KeyboardInterrupt
            return read(decoder, cache, tokens)

        monkeypatch.setattr(Decoder, "read", counted)


def test_a_prompt_is_read_once_for_all_its_samples(sample, monkeypatch):
    passes = Passes(monkeypatch)
    prompt = "the nation and"
    sample("--prompt", prompt, "--num-samples", 3, "--max-new-tokens", 4, "--json")
    n = len(TOK.encode(prompt))
    assert n > 4
    assert passes.lengths == [n] + 3 * [1, 1, 1]


def test_no_scores_are_kept(sample, monkeypatch):
    seen, alive, draws = [], [], writer.draws

    def watched(*arguments):
        for drawn in draws(*arguments):
            seen.append(weakref.ref(drawn[0].logits))
            alive.append(sum(scores() is not None for scores in seen))
            yield drawn

    monkeypatch.setattr(writer, "draws", watched)
    record = json.loads(sample("--json", "--show-probs", "--max-new-tokens", 30)[1])
    assert len(record["candidates"]) == len(seen) == 30
    assert max(alive) <= 2  # the newest, and the one before until it is replaced


def test_the_rate_is_tokens_over_the_seconds_of_the_model(sample, monkeypatch):
    """By a clock that goes on by a quarter of a second whenever somebody looks at it."""
    for n in (8, 3):
        clock = itertools.count(step=0.25)
        monkeypatch.setattr(writer, "time", SimpleNamespace(perf_counter=lambda clock=clock: next(clock)))
        err = sample("--max-new-tokens", n, "--num-samples", 2)[2]
        assert err == f"{2 * n} tokens in {2 * n / 4:.2f} s, 4.0 tokens/s\n"


# ---- Ctrl-C ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, 1, 5])
def test_ctrl_c_keeps_the_text_so_far(sample, folder, monkeypatch, n):
    Passes(monkeypatch, ctrl_c=n)
    code, out, err = sample("--prompt", "the", "--max-new-tokens", 40)
    whole = "the" + expected(folder, "the")
    assert (code, out[-1]) == (130, "\n")
    assert whole.startswith(out[:-1])
    assert len(out[:-1].encode()) >= 3 + n - 3  # the last bytes may be those of a character that is not whole
    assert err.startswith(f"stopped by Ctrl-C: {n} tokens in " if n else "stopped by Ctrl-C before the first")
    assert err.count("\n") == 1


@pytest.mark.parametrize("n", [0, 1, 5])
def test_ctrl_c_keeps_the_rows_so_far(sample, monkeypatch, n):
    options = ("--prompt", "the", "--max-new-tokens", 40, "--show-probs")
    whole = sample(*options)[1]
    Passes(monkeypatch, ctrl_c=n)
    assert sample(*options)[:2] == (130, "".join(whole.splitlines(keepends=True)[: 1 + n]))


@pytest.mark.parametrize("n", [0, 1, 5, 40, 44])
def test_ctrl_c_leaves_a_partial_record(sample, monkeypatch, n):
    """Of the sample that was being written, behind those that are whole; none of those that were to come."""
    options = ("--prompt", "the", "--max-new-tokens", 40, "--json", "--show-probs", "--num-samples", 3)
    whole = [json.loads(line) for line in sample(*options)[1].splitlines()]
    Passes(monkeypatch, ctrl_c=n)
    code, out, _ = sample(*options)
    *before, last = [json.loads(line) for line in out.splitlines()]
    assert code == 130
    done = n // 40
    assert before == whole[:done]
    n = n - 39 if done else n  # the second sample's first token needs no pass of its own
    assert last["partial"]
    assert last["ids"] == whole[done]["ids"][:n]
    assert last["candidates"] == whole[done]["candidates"][:n]
    assert last["text"] == TOK.decode(last["ids"])
    assert (last["prompt"], last["seed"]) == ("the", done)


def test_ctrl_c_while_the_weights_are_read(sample, monkeypatch):
    def load_model(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(writer, "load_model", load_model)
    assert sample("--prompt", "the", "--json") == (130, "", "stopped by Ctrl-C before the first token\n")


def test_ctrl_c_ends_a_text_and_not_a_conversation(sample, folder, monkeypatch):
    """An empty line then goes on from what there was."""
    Passes(monkeypatch, ctrl_c=4)
    code, out, _ = sample("--interactive", "--max-new-tokens", 12, stdin=b"the\n\n")
    begun = turn(folder, TOK.encode("the"), 0, 4)
    assert code == 0
    assert out.split("> ")[-2] == TOK.decode(turn(folder, begun, 1, 12)) + "\n"


def turn(folder, ids, seed, n):
    """ids and the n that continue them."""
    config, params = minigpt.load_weights(folder)
    options = {"temperature": 0.7, "top_k": 50, "slide": 3, "seed": seed, "stop": TOK.eot}
    return [*ids, *minigpt.generate(config, params, ids, n, **options)]


def test_conversation_continues_lines_and_what_was_written(sample, folder):
    """In ids, not in text: a character of which the last token has only a part is whole in the next turn."""
    code, out, _ = sample("--interactive", "--max-new-tokens", 12, stdin=b"the\n\nand\n")
    first = turn(folder, TOK.encode("the"), 0, 12)
    second, third = turn(folder, first, 1, 12), turn(folder, TOK.encode("and"), 2, 12)
    assert code == 0
    assert out == "".join(f"> {TOK.decode(ids)}\n" for ids in (first, second, third)) + "> \n"


def test_conversation_shows_probabilities(sample):
    options = ("--show-probs", "--max-new-tokens", 3)
    _, out, _ = sample("--interactive", *options, stdin=b"the\n")
    assert out == "> " + sample("--prompt", "the", *options)[1] + "> \n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--interactive", "--json"), "interactive is for people and json for programs"),
        (("--interactive", "--num-samples", "2"), "--num-samples must be 1 with --interactive"),
        (("--interactive", "--prompt-file", "a"), "give one of --prompt, --prompt-file and --interactive"),
        (("--interactive", "--lines"), "lines says how to read --prompt-file, which is missing"),
        (("--top-p-rule", "openai"), "top_p_rule says how to read --top-p, which is missing"),
        (("--max-new-tokens", "0"), "--max-new-tokens must be between 1"),
        (("--ops", "reference", "--threads", "0"), "--threads must be between 1"),
        (("--prompt-file", "-", "--lines"), "prompt_file: -: expected a prompt on each line, found only"),
        (("--top-p", "0"), "--top-p must be above 0"),
        (("--prompt", "a", "--interactive"), "give one of --prompt, --prompt-file and --interactive"),
        (("--prompt-file", "none.txt"), "prompt_file: none.txt: cannot be read: No such file"),
        (("--lines",), "lines says how to read --prompt-file"),
        (("--num-samples", "0"), "--num-samples must be"),
        (("--max-new-tokens", "-1"), "--max-new-tokens must be"),
        (("--seed", "-1"), "--seed must be"),
        (("--temperature", "-1"), "--temperature must be"),
        (("--top-p", "2"), "--top-p must be"),
        (("--top-p-rule", "best"), "--top-p-rule must be one of smallest, openai"),
        (("--tokenizer", "gpt2"), "expected a tokenizer of"),
        (("--tokenizer", "none.json"), "expected a saved tokenizer"),
        (("--ops", "slow"), "--ops must be"),
        (("--threads", "0"), "--threads must be"),
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


def heed_ctrl_c():
    """In a child, before it begins: Ctrl-C works, even if these tests are run in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(folder, *arguments, prompt=("--prompt", "é"), **options):
    """A process that writes on and on, with no token by far the likeliest."""
    command = [sys.executable, "-m", "minigpt", "sample", "--weights", str(folder), *prompt]
    command += ["--temperature", "1.5", "--top-k", "0", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "preexec_fn": heed_ctrl_c}
    pipes["env"] = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.Popen(command, **pipes | options)


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


INTERRUPTED = """
import os, signal, sys
from minigpt import cli
from minigpt.decode import Decoder

read = Decoder.read

def interrupted(decoder, cache, tokens):
    if cache.length == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGINT)
    return read(decoder, cache, tokens)

Decoder.read = interrupted
sys.exit(cli.main(sys.argv[2:]))
"""


@pytest.mark.parametrize(("places", "n"), [(0, 0), (4, 4)])
def test_a_real_ctrl_c_leaves_a_partial_record(folder, places, n):
    """When the cache holds one token of prompt and those that were drawn, but for the last."""
    command = [sys.executable, "-c", INTERRUPTED, str(places), "sample", "--weights", str(folder), "--json"]
    options = {"capture_output": True, "timeout": 60, "preexec_fn": heed_ctrl_c}
    process = subprocess.run([*command, "--prompt", "a"], check=False, **options)
    record = json.loads(process.stdout)
    assert (process.returncode, record["partial"], len(record["ids"])) == (130, True, n)
    assert process.stderr.startswith(b"stopped by Ctrl-C")


@pytest.mark.parametrize("more", [(), ("--show-probs",), ("--json", "--num-samples", "100000000")])
def test_a_reader_that_goes_away_ends_it_without_a_word(folder, more):
    n = "20" if "--json" in more else "100000000"
    process = start(folder, "--max-new-tokens", n, *more)
    os.read(process.stdout.fileno(), 1)
    process.stdout.close()
    assert process.wait(timeout=60) == 141
    assert process.stderr.read() == b""


def test_a_reader_that_goes_away_ends_a_conversation(folder):
    process = start(folder, "--interactive", prompt=(), stdin=subprocess.PIPE)
    os.read(process.stdout.fileno(), 1)
    process.stdout.close()
    process.stdin.write(b"the\n")
    process.stdin.flush()
    assert process.wait(timeout=60) == 141
    assert b"Traceback" not in process.stderr.read()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--interactive <&-", b"minigpt: standard input is closed: expected prompts from it\n"),
        ("--prompt-file - <&-", b"minigpt: standard input is closed: expected prompts from it\n"),
        ("--prompt a >&-", b"minigpt: standard output is closed: there is nowhere to write to\n"),
    ],
)
def test_closed_streams_are_one_line(folder, arguments, said):
    command = f'"{sys.executable}" -m minigpt sample --weights "{folder}" {arguments}'
    process = subprocess.run(["sh", "-c", command], capture_output=True, timeout=60, check=False)
    assert (process.returncode, process.stdout, process.stderr) == (2, b"", said)


def test_statistics_do_not_go_to_standard_output_where_there_is_no_other(folder):
    command = f'"{sys.executable}" -m minigpt sample --weights "{folder}" --json --max-new-tokens 3 2>&-'
    process = subprocess.run(["sh", "-c", command], capture_output=True, timeout=60, check=True)
    assert len(json.loads(process.stdout)["ids"]) == 3


def test_a_full_disk_is_one_line(folder):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    with open("/dev/full", "wb") as full:
        process = start(folder, stdout=full)
        err = process.communicate(timeout=60)[1]
    assert process.returncode == 2
    assert err == b"minigpt: standard output: cannot be written to: No space left on device\n"


def ascii_only(folder, *arguments, stdin=None):
    """Run it where standard streams know ASCII alone."""
    options = {"env": os.environ | {"PYTHONIOENCODING": "ascii"}, "stdin": subprocess.PIPE, "prompt": ()}
    process = start(folder, "--max-new-tokens", "40", *arguments, **options)
    out, err = process.communicate(stdin, timeout=60)
    return process.returncode, out.decode("ascii"), err.decode("ascii")


def test_what_a_terminal_has_no_letters_for_is_escaped(folder):
    text = expected(folder, "é🙂", temperature=1.5, top_k=0)
    code, out, _ = ascii_only(folder, "--prompt", "é🙂")
    assert (code, out) == (0, r"\xe9\U0001f642" + text.encode("ascii", "backslashreplace").decode() + "\n")
    assert ascii_only(folder, "--prompt", "é", "--show-probs")[0] == 0
    assert json.loads(ascii_only(folder, "--prompt", "é🙂", "--json")[1])["text"] == text
    code, out, err = ascii_only(folder, "--interactive", stdin="é\n".encode())
    assert (code, out) == (2, "> ")
    assert err.endswith("standard input: expected ascii, found byte 0xc3; set PYTHONIOENCODING=utf-8\n")


def test_bytes_that_are_no_text_are_read_as_such(folder):
    process = start(folder, "--json", "--max-new-tokens", "1", prompt=("--prompt", b"a\xff\xc3\xa9"))
    assert json.loads(process.communicate(timeout=60)[0])["prompt"] == "a\ufffdé"


def test_a_terminal_remembers_lines(folder):
    """Arrow up brings back the line before, on a real terminal: that is readline's work."""
    pytest.importorskip("readline")
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "dumb"}
    options = ("--interactive", "--max-new-tokens", "2", "--temperature", "0")
    process = start(folder, *options, prompt=(), stdin=theirs, stdout=theirs, env=environment)
    seen = b""

    def until(prompts):
        nonlocal seen
        while seen.count(b"> ") < prompts:
            assert select.select([ours], [], [], 60)[0], f"no prompt after {seen}"
            seen += os.read(ours, 1000)

    until(1)
    os.write(ours, b"people\n")
    until(2)
    seen = b""
    os.write(ours, b"\x1b[A\n")
    until(1)
    os.write(ours, b"\x04")
    assert process.wait(timeout=60) == 0
    os.close(ours)
    os.close(theirs)
    assert b"people" + expected(folder, "people", n=2, temperature=0).encode() in seen


def test_weights_that_are_not_finite_are_named_with_what_looks_into_them(sample, folder, tmp_path):
    config, params = minigpt.load_weights(folder)
    params["ln_f.bias"][0] = np.nan
    nan = tmp_path / "nan"
    minigpt.save_weights(nan, config, params)
    TOK.save(nan / "tokenizer.json")
    for more in ((), ("--json",), ("--temperature", "0")):
        code, _, err = sample("--weights", nan, *more)
        assert code == 1
        assert re.search(
            r"minigpt: .*/nan: the model's scores .*; minigpt inspect .*/nan says which tensor\n", err
        )
