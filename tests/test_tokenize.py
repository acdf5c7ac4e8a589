"""minigpt tokenize: what it prints, and how it answers what it cannot do."""

import io
import os
import sys

import pytest

from minigpt import cli
from minigpt.show import shown_work
from minigpt.tokenizer import Tokenizer


@pytest.fixture
def minigpt(capfdbinary, monkeypatch):
    """Run a command in this process: exit code, standard output, standard error."""

    def run(*arguments, stdin=b""):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = cli.main(["tokenize", *arguments])
        out, err = capfdbinary.readouterr()
        return code, out, err.decode()

    return run


def test_encode_and_decode(minigpt):
    assert minigpt("encode", "Hello world") == (0, b"15496 995\n", "")
    assert minigpt("encode", stdin="h\u00e9".encode()) == (0, b"71 2634\n", "")
    assert minigpt("encode", "<|endoftext|>", "--special") == (0, b"50256\n", "")
    assert minigpt("encode", "<|endoftext|>")[1] == b"27 91 437 1659 5239 91 29\n"
    assert minigpt("encode", "") == (0, b"\n", "")
    assert minigpt("decode", "15496", "995") == (0, b"Hello world", "")
    assert minigpt("decode", "15496,995") == (0, b"Hello world", "")
    assert minigpt("decode", stdin=b"71 2634\n") == (0, "h\u00e9".encode(), "")
    assert minigpt("decode", "110") == (0, b"\xb2", "")  # half a character, byte for byte


def test_bad_input_is_one_line_and_exit_code_2(minigpt):
    for arguments, said in (
        (("decode", "50257"), "ids[0]: expected an integer from 0 to 50256, found 50257"),
        (("decode", "1.5"), "ids: expected whole numbers, found '1.5'"),
        (("decode", "²"), "ids: expected whole numbers, found '²'"),
        (("encode", "a", "--tokenizer", "none.json"), "none.json: expected a saved tokenizer: No such file"),
        (("train", "none*.txt", "--n-vocab", "300", "--out", "x"), "no file matches none*.txt"),
        (("train", os.devnull, "--n-vocab", "300", "--out", "x"), "expected a file of text, found a pipe"),
        (("train", __file__, "--n-vocab", "300", "--out", "."), "expected the name of a tokenizer's file"),
    ):
        code, out, err = minigpt(*arguments)
        assert (code, out) == (2, b"")
        assert err.startswith("minigpt: ")
        assert said in err
        assert err.count("\n") == 1
    code, _, err = minigpt("encode", stdin=b"a\xff")
    assert (code, err) == (2, "minigpt: standard input: expected UTF-8, found byte 1 not to be\n")


@pytest.mark.parametrize("name", ["v.bpe", "v.json", "v.tiktoken"])
def test_train_writes_a_tokenizer_that_the_others_use(minigpt, tmp_path, name):
    (tmp_path / "a.txt").write_text("low low lower " * 3)
    out = str(tmp_path / name)
    code, printed, _ = minigpt("train", str(tmp_path / "*.txt"), "--n-vocab", "260", "--out", out)
    assert code == 0
    assert b"260 ids from 42 bytes, " in printed
    assert Tokenizer.load(out).n_vocab == 260
    assert minigpt("encode", "low", "--tokenizer", out) == (0, b"257\n", "")


def test_show_by_hand():
    tok = Tokenizer.train(["low low lower", "low"], 260)
    assert list(shown_work(tok, "low \u00e9")) == [
        "'low \u00e9': 5 characters, 6 bytes, 2 pieces, 4 tokens, 1.50 bytes a token",
        "bytes as vocabulary files write them: Ġ is a space, Ċ a newline, é is the two bytes Ã ©",
        "",
        "piece 1  'low'",
        "         bytes  6c 6f 77",
        "                l o w",
        "        rank 0  [lo] w",
        "        rank 1  [low]",
        "           ids  257",
        "",
        "piece 2  ' \u00e9'",
        "         bytes  20 c3 a9",
        "                Ġ Ã ©",
        "           ids  220 127 102",
        "",
        "ids  257 220 127 102",
    ]


@pytest.mark.parametrize("text", ["", "a", "We the People of the United States,  in 1787\n", "漢🙂"])
def test_show_has_every_byte_and_every_id(minigpt, text):
    code, out, _ = minigpt("show", text)
    rows = [line.split() for line in out.decode().splitlines() if line.startswith(" ")]
    ids = [str(id) for id in Tokenizer.gpt2().encode(text)]
    assert code == 0
    assert out.decode().splitlines()[-1].split() == ["ids", *ids]
    assert [word for row in rows if row[0] == "ids" for word in row[1:]] == ids
    content = "".join(byte for row in rows if row[0] == "bytes" for byte in row[1:])
    assert bytes.fromhex(content) == text.encode()
