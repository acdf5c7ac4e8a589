"""GPT-2's own tokenizer: known ids, files that are what they must be, a sample of the proof by tiktoken."""

import re

import pytest
import regex
import tiktoken

from minigpt import gpt2, pieces
from minigpt.errors import DataError
from minigpt.tokenizer import Tokenizer
from tests import tokenizer_proof as proof
from tools import freeze_classes

TOK = Tokenizer.gpt2()
TIKTOKEN = proof.tiktoken_gpt2()


@pytest.mark.parametrize(
    ("text", "ids"),  # published: openai/gpt-2, karpathy/llm.c, transformers' tests, picoGPT's README
    [
        ("Hello world", [15496, 995]),
        (" the", [262]),
        ("\n", [198]),
        ("Hello, my dog is a little", [15496, 11, 616, 3290, 318, 257, 1310]),
        ("Today, I", [8888, 11, 314]),
        (
            "Alan Turing theorized that computers would one day become",
            [36235, 39141, 18765, 1143, 326, 9061, 561, 530, 1110, 1716],
        ),
        (
            "First Citizen:\nBefore we proceed any further, hear me speak.",
            [5962, 22307, 25, 198, 8421, 356, 5120, 597, 2252, 11, 3285, 502, 2740, 13],
        ),
        ("", []),
    ],
)
def test_published_ids(text, ids):
    assert TOK.encode(text) == ids
    assert TOK.decode(ids) == text


def test_the_vocabulary_is_gpt2s():
    assert (TOK.n_vocab, TOK.eot, len(TOK.merges)) == (50257, 50256, 50000)
    assert TOK.special == {"<|endoftext|>": 50256}
    assert not list(proof.token_differences(TOK, TIKTOKEN))


@pytest.mark.parametrize("first", range(0, 997, 100))
def test_characters_in_four_contexts_are_tiktokens(first):
    """Every 997th character; `make tokenizer-proof` takes all."""
    texts = list(proof.scalar_texts(first, 0x110000, 997))
    assert len(texts) > 4000
    assert [found for text in texts if (found := proof.difference(TOK, TIKTOKEN, text))] == []


def test_the_characters_that_regex_cuts_otherwise_are_tiktokens():
    """Those are where a tokenizer goes wrong that leaves the classes to a library."""
    differing = set()
    for ours, theirs in zip(gpt2.character_classes().values(), (r"\p{L}", r"\p{N}", r"\s"), strict=True):
        members = re.findall(f"[{ours}]", freeze_classes.CHARACTERS)
        differing ^= set(members) ^ set(regex.findall(theirs, freeze_classes.CHARACTERS))
    for character in sorted(differing)[::7]:
        assert proof.difference(TOK, TIKTOKEN, f"{character} {character}a{character}1") is None


def test_random_strings_are_tiktokens():
    found = proof.check(proof.random_texts, 64, 5000)
    assert found[0] == 5000
    assert found[2] == []


def test_an_encoder_that_errs_is_noticed(monkeypatch):
    """The proof can fail: a character class that lacks one letter, and a merge that is missing."""
    without_q = gpt2.character_classes() | {"L": r"\U00000041-\U0000005A\U00000061-\U00000070"}
    monkeypatch.setattr(pieces, "pattern", lambda: regex.compile(pieces.PATTERN.format(**without_q)))
    assert proof.difference(Tokenizer.gpt2(), TIKTOKEN, " quite")["encoder"] == "own"
    monkeypatch.undo()
    shorter, last = Tokenizer(TOK.merges[:-1]), TOK.decode([TOK.eot - 1])
    assert proof.difference(shorter, TIKTOKEN, last)["expected"] == [TOK.eot - 1]
    assert {found["id"] for found in proof.token_differences(shorter, TIKTOKEN) if "id" in found} == {50255}


def test_the_classes_in_the_repository_are_tiktokens():
    assert tiktoken.__version__ in gpt2.read("classes.txt").splitlines()[0]
    for name, pattern in freeze_classes.CLASSES.items():
        ranges = freeze_classes.ranges(freeze_classes.members(pattern))
        lines = [f"{name} {a:04X}" + (f"-{b:04X}" if b > a else "") for a, b in ranges]
        assert lines == [line for line in gpt2.read("classes.txt").splitlines() if line.startswith(name)]


def test_ranges_join_neighbours():
    assert freeze_classes.ranges("abcx") == [(97, 99), (120, 120)]
    assert freeze_classes.ranges("") == []


def test_a_changed_or_missing_file_of_the_package_is_named(tmp_path):
    with pytest.raises(DataError, match=r"vocab\.bpe: not readable: No such file.*; install minigpt again"):
        gpt2.read("vocab.bpe", tmp_path)
    (tmp_path / "vocab.bpe").write_bytes(gpt2.read("vocab.bpe").encode()[:-1])
    with pytest.raises(DataError, match=r"vocab\.bpe: expected SHA-256 1ce16.*, found .*install"):
        gpt2.read("vocab.bpe", tmp_path)


def test_the_licence_stands_beside_the_vocabulary():
    notice = (gpt2.FOLDER / "LICENSE").read_text(encoding="utf-8")
    assert "Modified MIT License" in notice
    assert "Copyright (c) 2019 OpenAI" in notice
