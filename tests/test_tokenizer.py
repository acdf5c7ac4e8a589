"""The tokenizer against the same said slowly on bytes, against tiktoken, and against damaged files."""

import os
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
import regex
import tiktoken
from hypothesis import example, given
from hypothesis import strategies as st

from minigpt import pieces, texts, tokenizer
from minigpt.bulk import BulkEncoder, all_reachable
from minigpt.errors import DataError
from minigpt.tokenizer import Tokenizer

# openai/gpt-2, src/encoder.py, copied again: nothing below is the tokenizer's own
GPT2_PATTERN = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
SPEECHES = [text for _, text in texts.load_sotu()]
TAUGHT = [*SPEECHES[:2], *SPEECHES[-2:]]

TRICKY = (
    "etaoin ETS' 12½éßж漢字🙂.,-=<|endoftext|>\t\n\r\x0b\x00\x7f"
    "\u0301\u00a0\u200d\u2019\u2028\u3000\ufeff\ufffd"
)
TEXTS = st.one_of(st.text(), st.text(TRICKY, max_size=60), st.text("aeno ", max_size=60))


def gpt2_byte_order():
    """openai/gpt-2, src/encoder.py, bytes_to_unicode(): its keys, in their order."""
    bs = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    return [bytes([b]) for b in bs + [b for b in range(256) if b not in bs]]


def encode_slowly(text, tokens):
    """In each piece, as long as neighbours make a token together, merge those that make the earliest one."""
    ids, rank = [], {token: id for id, token in enumerate(tokens[:-1])}
    for piece in regex.findall(GPT2_PATTERN, text):
        parts = [bytes([byte]) for byte in piece.encode()]
        while known := [left + right for left, right in pairwise(parts) if left + right in rank]:
            made = min(known, key=rank.get)
            place = next(i for i in range(len(parts)) if b"".join(parts[i : i + 2]) == made)
            parts[place : place + 2] = [made]
        ids += [rank[part] for part in parts]
    return ids


def train_slowly(taught, n_vocab):
    """The tokens, by counting every pair of every piece of every text again for every merge."""
    tokens = gpt2_byte_order()
    pieces = [piece.encode() for text in taught for piece in regex.findall(GPT2_PATTERN, text)]
    pieces = [[bytes([byte]) for byte in piece] for piece in pieces]
    while len(tokens) < n_vocab - 1:
        pairs = [pair for piece in pieces for pair in pairwise(piece)]
        counts = {pair: pairs.count(pair) for pair in set(pairs)}
        if max(counts.values(), default=0) < 2:
            break
        most = [pair for pair in counts if counts[pair] == max(counts.values())]
        left, right = min(most, key=lambda pair: [tokens.index(token) for token in pair])
        tokens.append(left + right)
        for piece in pieces:
            for i in range(len(piece)):
                if piece[i : i + 2] == [left, right]:
                    piece[i : i + 2] = [left + right]
    return [*tokens, b"<|endoftext|>"]


def tiktoken_of(tok):
    return tiktoken.Encoding(
        "ours",
        pat_str=GPT2_PATTERN,
        mergeable_ranks={token: id for id, token in enumerate(tok.tokens[:-1])},
        special_tokens={"<|endoftext|>": tok.eot},
        explicit_n_vocab=tok.n_vocab,
    )


TOK = Tokenizer.train(TAUGHT, 1000)
TIKTOKEN = tiktoken_of(TOK)
GPT2 = Tokenizer.gpt2()
SMALL = Tokenizer.train(["the cat and the hat, the café and thé"], 266)


def test_the_tokenizers_of_these_tests_have_learned():
    assert TOK.n_vocab == 1000
    assert TOK.tokens[256] == b" t"
    assert b" the" in TOK.tokens
    assert max(map(len, TOK.tokens)) > 8
    assert 260 < SMALL.n_vocab <= 266


# ---- encode and decode -----------------------------------------------------------------------


@given(TEXTS)
@example("")
@example("<|endoftext|>")
@example("\ufeffa")
def test_decode_gives_the_text_back(text):
    ids = TOK.encode(text)
    assert TOK.decode(ids) == text
    assert TOK.decode_bytes(ids) == text.encode()


@given(TEXTS)
@example("<|endoftext|>")
def test_encode_is_the_slow_one(text):
    assert TOK.encode(text) == encode_slowly(text, TOK.tokens)


@given(TEXTS)
@example("<|endoftext|>")
def test_encode_is_tiktoken(text):
    assert TOK.encode(text) == TIKTOKEN.encode_ordinary(text)


def test_encode_is_tiktoken_on_whole_speeches():
    for text in SPEECHES[10::40]:
        ids = TOK.encode(text)
        assert ids == TIKTOKEN.encode_ordinary(text)
        assert len(ids) < len(text.encode()) / 2


def test_words_of_the_text_it_learned_from():
    tokens = [TOK.tokens[id] for id in TOK.encode(" of the people, the")]
    assert tokens == [b" of", b" the", b" people", b",", b" the"]


@pytest.mark.parametrize(
    "expected",
    [
        ["It", "'s", " I", "'m", " we", "'ve", " they", "'re", " he", "'ll", " you", "'d", " don", "'t"],
        ["IT", "'", "S"],  # no capitals there
        ["in", " 1812", ",", " ", " 3", "rd"],
        ["a", "  ", " b", "\n\n", " c"],  # a word takes one space along
        [" ,.", "é", "_"],
        ["end", " \t"],
    ],
)
def test_text_is_cut_into_pieces_as_gpt2_cuts_it(expected):
    assert pieces.cut("".join(expected)) == expected


def test_ids_are_plain_ints():
    ids = TOK.encode("The state of the Union is strong.")
    assert ids
    assert {type(id) for id in ids} == {int}


def test_bytes_have_the_ids_that_gpt2_gives_them():
    assert TOK.tokens[:256] == gpt2_byte_order()
    only_bytes = Tokenizer.train([], 257)
    assert only_bytes.n_vocab == 257
    assert only_bytes.encode("\n! ~") == [198, 0, 220, 93]  # as in openai/gpt-2's encoder.json


def test_end_of_text_is_the_last_id_and_never_comes_from_text():
    assert TOK.eot == 999
    assert TOK.decode([TOK.eot]) == "<|endoftext|>"
    assert TOK.decode_bytes([TOK.eot, *TOK.encode("hi")]) == b"<|endoftext|>hi"
    taught = Tokenizer.train(["<|endoftext|><|endoftext|>"] * 9, 400)
    for tok in (TOK, taught):
        ids = tok.encode("<|endoftext|>")
        assert tok.eot not in ids
        assert tok.decode(ids) == "<|endoftext|>"
    assert tiktoken_of(taught).encode_ordinary("<|endoftext|>") == taught.encode("<|endoftext|>")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("\ud800", "\ufffd"),
        ("a\udc00b", "a\ufffdb"),
        ("\udc00\ud83d", "\ufffd\ufffd"),
        ("\ufeff\ud800\ud800 x", "\ufeff\ufffd\ufffd x"),
        ("\ud83d\ude42", "🙂"),  # a pair is not lone
        ("\ud83d🙂", "\ufffd🙂"),
    ],
)
def test_lone_surrogates(text, meant):
    assert TOK.encode(text) == TOK.encode(meant) == TIKTOKEN.encode_ordinary(text)
    assert TOK.decode(TOK.encode(text)) == meant
    assert Tokenizer.train([text] * 2, 300).tokens == Tokenizer.train([meant] * 2, 300).tokens


@given(st.lists(st.integers(0, 999), max_size=30))
def test_decode_takes_any_ids(ids):
    expected = b"".join(TOK.tokens[id] for id in ids)
    assert TOK.decode_bytes(ids) == expected
    assert TOK.decode(ids) == expected.decode("utf-8", "replace")


def test_invalid_utf8_becomes_the_replacement_character():
    first, second = TOK.encode("é")[0], gpt2_byte_order().index(b"\xa9")
    assert TOK.decode([second, *TOK.encode("a")]) == "\ufffda"
    assert TOK.decode([gpt2_byte_order().index(b"\xc3")]) == "\ufffd"
    assert TOK.decode_bytes([second]) == b"\xa9"
    assert first != second


@pytest.mark.parametrize(
    "make",
    [list, tuple, iter, np.array, lambda ids: np.array(ids, np.uint16), lambda ids: list(np.array(ids))],
)
def test_decode_takes_sequences_and_arrays(make):
    ids = TOK.encode("We the people")
    assert TOK.decode(make(ids)) == "We the people"
    assert TOK.decode(make([])) == ""


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        ([0, 1, 1000], r"ids\[2\]: expected an integer from 0 to 999, found 1000"),
        ([0, -1], r"ids\[1\]: expected an integer from 0 to 999, found -1"),
        ([2**70], r"ids\[0\]: .* found 1180591620717411303424"),
        ([1.0], r"ids\[0\]: .* found 1.0"),
        ([True], r"ids\[0\]: .* found True"),
        ([5, None], r"ids\[1\]: .* found None"),
        ("12", r"ids\[0\]: .* found '1'"),
        (np.array([1.0, 2.0]), r"ids\[0\]: .* found 1.0"),
        (np.array([[1, 2]]), r"ids\[0\]: .* found \[1, 2\]"),
        ([np.array([1, 2])], r"ids\[0\]: .* found array"),
        (np.array(7), r"ids: expected a sequence of integers, found 7"),
        (7, r"ids: expected a sequence of integers, found 7"),
        (None, r"ids: expected a sequence of integers, found None"),
    ],
)
def test_decode_names_what_it_does_not_know(ids, said):
    for decode in (TOK.decode, TOK.decode_bytes):
        with pytest.raises(DataError, match=said):
            decode(ids)


@pytest.mark.parametrize("text", [None, b"bytes", 7, ["list"]])
def test_encode_takes_nothing_but_str(text):
    with pytest.raises(DataError, match=f"text: expected a str, found {type(text).__name__}"):
        TOK.encode(text)


def test_what_is_kept_between_calls_is_bounded_and_changes_nothing(monkeypatch):
    monkeypatch.setattr(tokenizer.EncodedPieces, "MOST", 5)
    monkeypatch.setattr(tokenizer.EncodedPieces, "LONGEST", 6)
    tok, text = Tokenizer(TOK.merges), SPEECHES[0]
    assert tok.encode(text) == tok.encode(text) == TOK.encode(text)
    assert len(tok._encoded) == 5
    assert max(map(len, tok._encoded)) <= 6


@pytest.mark.parametrize("character", [" ", "a", "-", "0", "é", "漢", "🙂", "\u3000", "\x00"])
def test_a_million_equal_characters(character):
    """That time grows in proportion is test_bpe's to count; the proof's record has the seconds."""
    text = character * 10**6 + "b"
    ids = GPT2.encode(text, fast=False)
    assert GPT2.encode_array(text).tolist() == ids
    assert GPT2.decode(ids) == text


# ---- the fast encoder, special tokens, other numberings ----------------------------------------


@given(TEXTS)
@example("<|endoftext|>")
@example("\ud800 x")
def test_the_fast_encoder_gives_the_same_ids(text):
    ids = TOK.encode(text, fast=False)
    assert TOK.encode(text, fast=True) == ids
    array = TOK.encode_array(text)
    assert array.dtype == np.uint16
    assert array.tolist() == ids


@pytest.mark.parametrize("length", [*range(19_990, 20_010), 10_000, 9_999, 30_000, 10**6])
@pytest.mark.parametrize("space", [" ", "\n", "\u3000"])
def test_long_white_space_is_no_trap(length, space):
    text = f"one{space * length}two"
    assert TOK.encode_array(text).tolist() == TOK.encode(text, fast=False)


def test_much_text_is_encoded_fast_by_itself(monkeypatch):
    monkeypatch.setattr(tokenizer, "BULK", 10)
    tok, calls = Tokenizer(TOK.merges), []
    encode = BulkEncoder.encode
    monkeypatch.setattr(BulkEncoder, "encode", lambda self, text: calls.append(text) or encode(self, text))
    texts = ["nation", "the nation", "is"]
    assert [tok.encode(text) for text in texts] == [TOK.encode(text, fast=False) for text in texts]
    assert calls == ["the nation", "is"]  # from ten characters in all
    tok.encode("the nation", fast=False)
    assert len(calls) == 2


def test_a_token_that_its_merges_never_make_is_not_left_to_tiktoken():
    """(0, 1), (1, 2), (0, 257): the bytes 0 1 2 merge to 256 2, and never to 258."""
    tok, text = Tokenizer([(0, 1), (1, 2), (0, 257)]), bytes(tokenizer.BYTES[:3]).decode()
    assert tok.encode(text) == tok.encode(text, fast=True) == tok.encode_array(text).tolist() == [256, 2]
    assert tiktoken_of(tok).encode_ordinary(text) == [258]
    assert not all_reachable(tok.merges)
    assert all_reachable(TOK.merges)


def test_special_tokens_come_only_when_they_are_asked_for():
    text = "a<|endoftext|>b<|endoftext|>"
    a, b = TOK.encode("a")[0], TOK.encode("b")[0]
    for special in ("all", ["<|endoftext|>"], {"<|endoftext|>"}):
        assert TOK.encode(text, special=special) == [a, TOK.eot, b, TOK.eot]
    assert TOK.encode(text, special=[]) == TOK.encode(text) == TIKTOKEN.encode_ordinary(text)
    assert TOK.encode("", special="all") == []
    assert TIKTOKEN.encode(text, allowed_special="all") == TOK.encode(text, special="all")


def test_the_longer_of_two_special_tokens_is_found():
    tok = Tokenizer([], special={"<|endoftext|>": 256, "<|end": 257})
    assert tok.encode("<|endoftext|><|end", special="all") == [256, 257]


@pytest.mark.parametrize("special", ["<|endoftext|>", ["<|pad|>"], "none"])
def test_unknown_special_tokens_are_named(special):
    with pytest.raises(DataError, match="special: expected"):
        TOK.encode("a", special=special)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (([(0, 256)],), r"merges\[0\]: expected a pair of earlier tokens, from 0 to 255, found \(0, 256\)"),
        (([(0, 1), (0, 1)],), r"merges\[1\]: \(0, 1\) makes b'!\"', which an earlier merge makes too"),
        (([(0, -1)],), r"merges\[0\]: expected a pair"),
        (([(0, 1, 2)],), r"merges\[0\]: expected a pair"),
        (([(0, 1.0)],), r"merges\[0\]: expected a pair"),
        ((["ab"],), r"merges\[0\]: expected a pair"),
        (([], [1, 2]), r"ids: expected one for each of 256 tokens, found 2"),
        (([], range(256), {}), r"special: expected a special token"),
        (([], range(256), {"<|a|>": 0}), r"ids: expected each of 0 to 256 once"),
        (([], range(256), {"<|a|>": 300}), r"ids\[256\]: expected an integer from 0 to 256, found 300"),
        (([], range(256), {"<|a|>": None}), r"ids\[256\]: expected an integer from 0 to 256, found None"),
    ],
)
def test_a_tokenizer_made_by_hand_is_checked(arguments, said):
    with pytest.raises(DataError, match=said):
        Tokenizer(*arguments)


# ---- train -----------------------------------------------------------------------------------


@given(st.lists(st.text("ab c'1é", max_size=30), max_size=4), st.integers(257, 270))
def test_train_is_the_slow_one(taught, n_vocab):
    assert Tokenizer.train(taught, n_vocab).tokens == train_slowly(taught, n_vocab)


def test_train_is_the_slow_one_on_a_speech():
    text = SPEECHES[0][:3000]
    tok = Tokenizer.train([text], 320)
    assert tok.tokens == train_slowly([text], 320)
    assert tok.n_vocab == 320


def test_train_by_hand():
    tok = Tokenizer.train(["low low lower", "low"], 260)
    assert tok.tokens[256:] == [b"lo", b"low", b" low", b"<|endoftext|>"]
    assert tok.encode("low slow lower") == [257, 220, 82, 257, 258, 68, 81]


def test_train_ends_early_when_no_pair_is_left_that_occurs_twice():
    tok = Tokenizer.train(["abab abab"], 300)
    assert tok.tokens[256:] == [b"ab", b"abab", b"<|endoftext|>"]
    assert tok.n_vocab == 259
    assert tok.eot == 258
    assert Tokenizer.train(["abcdefg"], 300).n_vocab == 257


def test_merges_stay_within_pieces_and_texts():
    tok = Tokenizer.train(["a b." * 50, "b"] * 2, 300)
    assert tok.tokens[256:-1] == [b" b"]
    assert Tokenizer.train(["a", "b"] * 9, 300).n_vocab == 257


def test_train_takes_the_texts_in_any_order_and_from_any_iterable():
    expected = Tokenizer.train(TAUGHT, 400).tokens
    assert Tokenizer.train(reversed(TAUGHT), 400).tokens == expected
    assert Tokenizer.train((text for text in TAUGHT), np.int64(400)).tokens == expected


def test_train_does_the_same_in_every_process(tmp_path):
    script = (
        "import sys; from minigpt import texts; from minigpt.tokenizer import Tokenizer\n"
        "Tokenizer.train([text for _, text in texts.load_sotu()[:3]], 500).save(sys.argv[1])"
    )
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", script, tmp_path / seed]
        subprocess.run(command, env=environment, check=True, timeout=300)
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()
    assert Tokenizer.load(tmp_path / "1").n_vocab == 500


@pytest.mark.parametrize("n_vocab", [256, 0, -1, True, 300.0, "300", None])
def test_train_needs_room_for_all_bytes_and_end_of_text(n_vocab):
    with pytest.raises(DataError, match=f"n_vocab: expected an integer of at least 257, found {n_vocab!r}"):
        Tokenizer.train(["text"], n_vocab)


@pytest.mark.parametrize(
    ("taught", "said"),
    [
        ("one text", "texts: expected an iterable of str, found str"),
        (None, "texts: expected an iterable of str, found NoneType"),
        (["one", b"two"], r"texts\[1\]: expected a str, found bytes"),
        ([["nested"]], r"texts\[0\]: expected a str, found list"),
    ],
)
def test_train_takes_nothing_but_texts(taught, said):
    with pytest.raises(DataError, match=said):
        Tokenizer.train(taught, 300)


# ---- files -----------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path):
    """A saved small tokenizer."""
    SMALL.save(tmp_path / "small.bpe")
    return tmp_path / "small.bpe"


def test_load_reads_what_save_wrote(tmp_path):
    for tok in (TOK, SMALL, Tokenizer.train([], 257)):
        tok.save(tmp_path / "tok.bpe")
        loaded = Tokenizer.load(str(tmp_path / "tok.bpe"))
        assert loaded.merges == tok.merges
        assert loaded.tokens == tok.tokens
        assert loaded.encode(SPEECHES[1]) == tok.encode(SPEECHES[1])
        assert os.listdir(tmp_path) == ["tok.bpe"]


def test_a_saved_tokenizer_is_there_to_be_read(tmp_path):
    Tokenizer.train(["low low lower", "é é"], 261).save(tmp_path / "low.bpe")
    header, *lines = (tmp_path / "low.bpe").read_text(encoding="utf-8").split("\n")
    assert header.startswith("#minigpt-bpe version: 1 merges: 4 sha256: ")
    assert lines == ["l o", "lo w", "Ã ©", "Ġ low", ""]  # é is C3 A9, which Latin-1 shows as Ã ©


def test_tokens_that_look_like_the_format_survive(tmp_path):
    tok = Tokenizer.train(["#### \n\n\n\n\r\r\r\r \x85\x85\x85\x85 \u2028\u2028\u2028\u2028 # #"], 300)
    tok.save(tmp_path / "odd.bpe")
    assert len(tok.merges) > 4
    assert Tokenizer.load(tmp_path / "odd.bpe").tokens == tok.tokens


def test_every_truncation_is_noticed(path):
    whole = path.read_bytes()
    assert len(whole) > 100
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"small\.bpe"):
            Tokenizer.load(path)


def test_every_changed_byte_is_noticed(path):
    whole = path.read_bytes()
    for place in range(len(whole)):
        for flip in (1, 0x20, 0x80):
            changed = bytearray(whole)
            changed[place] ^= flip
            path.write_bytes(changed)
            with pytest.raises(DataError, match=r"small\.bpe"):
                Tokenizer.load(path)


def test_every_two_lines_exchanged_are_noticed(path):
    lines = path.read_bytes().splitlines(keepends=True)
    assert len(lines) > 5
    for first in range(len(lines)):
        for second in range(first):
            changed = list(lines)
            changed[first], changed[second] = lines[second], lines[first]
            path.write_bytes(b"".join(changed))
            with pytest.raises(DataError, match=r"small\.bpe"):
                Tokenizer.load(path)


@pytest.mark.parametrize("added", [b"\n", b"x", b"t h\n", b"\x00"])
def test_anything_added_is_noticed(path, added):
    path.write_bytes(path.read_bytes() + added)
    with pytest.raises(DataError, match=r"small\.bpe"):
        Tokenizer.load(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: [b"#mini", *lines[1:]], r"line 1: expected '#minigpt-bpe version: 1"),
        (lambda lines: [*lines[:3], b"zz z", *lines[4:]], r"line 4: expected two .* found 'zz z'"),
        (lambda lines: [*lines[:2], lines[1], *lines[3:]], r"small\.bpe, line 3: expected two tokens"),
        (lambda lines: [*lines[:2], b"\xff", *lines[3:]], r"small\.bpe, line 3: expected UTF-8"),
        (lambda lines: [*lines[:2], lines[2][:-1]], r"small\.bpe, line 3: expected"),
        (lambda lines: [*lines[:-2], b""], r"line 1 .* expected '.*merges: 8 .* found '.*merges: 9 "),
    ],
)
def test_damage_is_named_by_path_and_line(path, change, said):
    assert len(SMALL.merges) == 9
    path.write_bytes(b"\n".join(change(path.read_bytes().split(b"\n"))))
    with pytest.raises(DataError, match=said):
        Tokenizer.load(path)


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(DataError, match=r"none\.bpe: expected a saved tokenizer: No such file"):
        Tokenizer.load(tmp_path / "none.bpe")
    with pytest.raises(DataError, match=r"expected a tokenizer in this folder: .*; found none"):
        Tokenizer.load(tmp_path)
    with pytest.raises(DataError, match=r"none/small\.bpe: not writable: No such file"):
        SMALL.save(tmp_path / "none" / "small.bpe")


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_save_that_fails_leaves_the_old_file_alone(path, step, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    before = path.read_bytes()
    monkeypatch.setattr(os, step, full)
    with pytest.raises(DataError, match=r"small\.bpe: not writable: No space left on device"):
        TOK.save(path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["small.bpe"]


def test_only_files_are_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name, kind in (("pipe", "a device, pipe or socket"), ("folder", "a folder")):
        with pytest.raises(DataError, match=rf"{name}: expected the name of a file, found {kind}"):
            SMALL.save(tmp_path / name)
    assert (tmp_path / "pipe").is_fifo()
