"""What --help says and how wide, and wrong words answered in one line."""

import os
import subprocess
import sys

import pytest

from minigpt import cli
from minigpt.usage import Caught, first_sentence, fitting, whole


def minigpt(*words, columns=80, **environment):
    """Run it in a process: exit code, standard output, standard error."""
    env = os.environ | {"COLUMNS": str(columns)} | environment
    done = subprocess.run(
        [sys.executable, "-m", "minigpt", *words], capture_output=True, env=env, timeout=60, check=False
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


# Help


def test_help_names_every_command_with_one_sentence():
    code, out, err = minigpt("--help")
    assert (code, err) == (0, "")
    for name, (flags, _) in cli.COMMANDS.items():
        assert f"• {name} " in out
        assert first_sentence(flags.__doc__).split()[-1] in out
    assert len(out.splitlines()) < 40
    assert max(map(len, out.splitlines())) <= 80
    assert "Equal seeds" not in out  # sample's second paragraph


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_a_commands_help_has_its_whole_description_as_wide_as_the_boxes(columns):
    _, out, _ = minigpt("sample", "--help", columns=columns)
    assert max(map(len, out.splitlines())) <= columns
    usage, *paragraphs = out.partition("╭")[0].strip().split("\n\n")
    assert usage == "usage: minigpt sample [-h] [SAMPLE OPTIONS]"
    joined = "\n\n".join(" ".join(part.split("\n")) for part in paragraphs)
    assert joined == whole(cli.COMMANDS["sample"][0].__doc__)


@pytest.mark.parametrize("columns", [1, 5, 39])
def test_a_terminal_is_never_narrower_than_tyro_can_wrap(columns):
    _, out, _ = minigpt("train", "--help", columns=columns)
    assert max(map(len, out.splitlines())) == 40


def test_letters_that_standard_output_lacks_are_not_drawn():
    code, out, err = minigpt("--help", PYTHONIOENCODING="ascii")
    assert (code, err) == (0, "")
    assert "* train " in out
    assert "\\u" not in out


def test_first_sentence_and_paragraphs():
    assert first_sentence("Train, as llm.c does. Else not.\n") == "Train, as llm.c does."
    assert first_sentence("Text to ids") == "Text to ids"
    assert whole("One\n    two.\n\n    Three\n    four.\n") == "One two.\n\nThree four."


def test_colours_count_as_no_width():
    shown = Caught()
    shown.write(
        "\x1b[1musage:\x1b[0m \x1b[mgpt\x1b[0m {a,b,c}\n\nOne, two.\n\x1b[37;2m│\x1b[0m boxed and long\n"
    )
    fits = "usage: gpt {a, b,\n       c}\n\nOne, two.\n\x1b[37;2m│\x1b[0m boxed and long\n"
    assert fitting(shown, 18) == fits


# Wrong words

WRONG = {
    ("train", "--steps", "abc"): "--steps: expected a whole number, found 'abc'",
    ("train", "--n_layer=1.5"): "--n-layer: expected a whole number, found '1.5'",
    ("train", "--keep", "9" * 5000): f"--keep: expected a whole number, found '{'9' * 5000}'",
    ("train", "--keep", "a  b"): "--keep: expected a whole number, found 'a  b'",
    ("train", "--lr", "fast"): "--lr: expected a number, found 'fast'",
    ("train", "--final", "1,5"): "--final: expected a number, found '1,5'",
    ("train", "--steps"): "--steps: expected a value, found none",
    ("train", "--tf32", "yes"): "--tf32: expected no value, as it is a switch, found 'yes'",
    ("train", "--tf32=yes"): "--tf32: expected no value, as it is a switch, found 'yes'",
    ("train", "--stepz", "3"): "Unrecognized options: --stepz, 3; perhaps you meant --steps; "
    "--help lists what there is",
    ("data", "--out", "x", "--eot", "in"): "--eot: expected one of before, after, found 'in'",
    (
        "convert",
        "a",
        "b",
        "--format",
        "npz",
        "--dtype",
        "int8",
    ): "--dtype: expected one of bfloat16, float16, float32, float64, found 'int8'",
    ("download", "gpt3"): "model: expected one of gpt2, gpt2-medium, gpt2-large, gpt2-xl, found 'gpt3'",
    (
        "tokenize",
        "train",
        "a",
        "--out",
        "b",
        "--n-vocab",
        "x",
    ): "--n-vocab: expected a whole number, found 'x'",
    ("nonsense",): "Unrecognized options: nonsense; --help lists what there is",
}


@pytest.mark.parametrize("words", WRONG, ids=lambda words: " ".join(words)[:40])
def test_wrong_words_are_one_line(words, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(words)
    assert end.value.code == 2
    assert capsys.readouterr() == ("", f"minigpt: {WRONG[words]}\n")


def test_wrong_words_are_read_alike_whatever_is_drawn():
    line = "minigpt: --eot: expected one of before, after, found 'in'\n"
    for columns, encoding in ((1, "ascii"), (40, "utf-8"), (200, "cp1252")):
        words = ("data", "--out", "x", "--eot", "in")
        assert minigpt(*words, columns=columns, PYTHONIOENCODING=encoding) == (2, "", line)


def test_a_number_out_of_range_is_its_flags(capsys):
    for words, said in (
        ("train --tokens-per-step 0", "--tokens-per-step must be between 1 and "),
        ("train --n-layer 0", "--n-layer must be between 1 and "),
        ("plan --gpus 3", "--tokens-per-step must be a multiple of --gpus * --context = "),
        ("tokenize train a --n-vocab 2 --out b", "--n-vocab must be between 257 and "),
    ):
        assert cli.main(words.split()) == 2
        assert capsys.readouterr().err.startswith(f"minigpt: {said}")
