"""Tokenizers as files: what comes back, what other libraries read, what is said about files that are none."""

import base64
import contextlib
import json
import os

import pytest
import tiktoken
import tiktoken.load
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from minigpt import texts
from minigpt.errors import DataError
from minigpt.tokenizer import Tokenizer
from minigpt.vocabularies import hugging_face

SPEECH = texts.load_sotu()[40][1]
TOK = Tokenizer.train([SPEECH], 700)
SMALL = Tokenizer.train(["the cat and the hat, the café and thé"], 266)
NAMES = ("tok.bpe", "tok.tiktoken", "tok.json")


def renumbered(tok):
    """The same tokenizer with <|endoftext|> and <|pad|> first, as libraries that train number them."""
    return Tokenizer(tok.merges, [id + 2 for id in tok.ids], {"<|endoftext|>": 0, "<|pad|>": 1})


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("tok", [TOK, SMALL, Tokenizer([])], ids=["speech", "small", "bytes"])
def test_what_is_saved_comes_back(tmp_path, name, tok):
    tok.save(tmp_path / name)
    loaded = Tokenizer.load(str(tmp_path / name))
    assert (loaded.merges, loaded.ids, loaded.special) == (tok.merges, tok.ids, tok.special)
    assert loaded.tokens == tok.tokens
    assert loaded.encode(SPEECH) == tok.encode(SPEECH)


def test_other_numberings_come_back_as_json_and_are_refused_elsewhere(tmp_path):
    tok = renumbered(TOK)
    tok.save(tmp_path / "tok.json")
    loaded = Tokenizer.load(tmp_path / "tok.json")
    assert (loaded.ids, loaded.special, loaded.tokens) == (tok.ids, tok.special, tok.tokens)
    assert loaded.eot == 0
    for name, said in (("tok.bpe", "a list of merges cannot"), ("tok.tiktoken", "a file of ranks cannot")):
        with pytest.raises(DataError, match=said):
            tok.save(tmp_path / name)
        assert not (tmp_path / name).exists()


@given(st.text(max_size=40))
def test_other_numberings_are_the_same_tokens(text):
    tok = renumbered(TOK)
    expected = [id + 2 for id in TOK.encode(text)]
    assert tok.encode(text) == expected
    assert tok.encode_array(text).tolist() == expected
    assert tok.decode(tok.encode(text)) == text
    assert tok.encode("<|pad|>" + text, special="all")[0] == 1


# ---- what other libraries make of our files ----------------------------------------------------


@given(st.text(st.sampled_from("the nation's 12 état,\n 漢🙂"), max_size=40))
def test_tokenizers_reads_our_json(text):
    content = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hugging_face, "replace_file", lambda path, data: content.setdefault(path.name, data))
        TOK.save("tokenizer.json")
    theirs = tokenizers.Tokenizer.from_str(content["tokenizer.json"].decode())
    assert theirs.encode(text).ids == TOK.encode(text)
    assert theirs.decode(TOK.encode(text), skip_special_tokens=False) == text


def test_tiktoken_reads_our_ranks(tmp_path):
    TOK.save(tmp_path / "tok.tiktoken")
    ranks = tiktoken.load.load_tiktoken_bpe(str(tmp_path / "tok.tiktoken"))
    assert ranks == {token: id for id, token in enumerate(TOK.tokens[:-1])}


# ---- what we make of other libraries' files ------------------------------------------------------


@pytest.fixture(scope="module")
def trained_elsewhere(tmp_path_factory):
    """A tokenizer.json trained by the tokenizers library: special tokens first, bytes in another order."""
    theirs = tokenizers.Tokenizer(tokenizers.models.BPE())
    theirs.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    theirs.decoder = tokenizers.decoders.ByteLevel()
    theirs.train_from_iterator(
        [SPEECH],
        tokenizers.trainers.BpeTrainer(
            vocab_size=600,
            special_tokens=["<|pad|>", "<|endoftext|>"],
            initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    path = tmp_path_factory.mktemp("elsewhere") / "tokenizer.json"
    theirs.save(str(path))
    return path


def test_a_tokenizer_trained_elsewhere_gives_the_same_ids(trained_elsewhere):
    ours, theirs = Tokenizer.load(trained_elsewhere), tokenizers.Tokenizer.from_file(str(trained_elsewhere))
    assert (ours.n_vocab, ours.eot, ours.special["<|pad|>"]) == (600, 1, 0)
    for text in (SPEECH, texts.load_sotu()[0][1], "new words: état, 漢字\n\n  🙂"):
        ids = theirs.encode(text).ids
        assert ours.encode(text) == ours.encode_array(text).tolist() == ids
        assert ours.decode(ids) == text
    assert Tokenizer.load(trained_elsewhere.parent).tokens == ours.tokens


def test_merges_may_be_written_as_text_or_as_pairs(trained_elsewhere, tmp_path):
    content = json.loads(trained_elsewhere.read_text(encoding="utf-8"))
    pairs = content["model"]["merges"]
    content["model"]["merges"] = [" ".join(p) if isinstance(p, list) else p.split(" ") for p in pairs]
    (tmp_path / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    assert Tokenizer.load(tmp_path).merges == Tokenizer.load(trained_elsewhere).merges


def test_a_vocabulary_in_gpt2s_format_is_read_without_a_checksum(tmp_path):
    TOK.save(tmp_path / "tok.bpe")
    lines = (tmp_path / "tok.bpe").read_text(encoding="utf-8").split("\n")
    (tmp_path / "vocab.bpe").write_text("\n".join(["#version: 0.2", *lines[1:]]), encoding="utf-8")
    assert Tokenizer.load(tmp_path / "vocab.bpe").tokens == TOK.tokens


# ---- files that are no tokenizer -----------------------------------------------------------------


def changed_json(**changes):
    """TOK's tokenizer.json with other values: model__merges=[] sets ["model"]["merges"]."""

    def change(path):
        TOK.save(path / "tokenizer.json")
        content = json.loads((path / "tokenizer.json").read_text(encoding="utf-8"))
        for name, value in changes.items():
            *parents, last = name.split("__")
            place = content
            for parent in parents:
                place = place[parent]
            place[last] = value(place[last]) if callable(value) else value
        (path / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (changed_json(model=[]), "expected a tokenizer.json with an object model"),
        (changed_json(model__type="WordPiece"), "model.type: expected 'BPE', found 'WordPiece'"),
        (changed_json(model__dropout=0.1), "model.dropout: expected None, found 0.1"),
        (changed_json(model__byte_fallback=True), "model.byte_fallback: expected False, found True"),
        (changed_json(model__ignore_merges=True), "model.ignore_merges: expected False, found True"),
        (changed_json(model__continuing_subword_prefix="##"), "model.continuing_.* found '##'"),
        (changed_json(normalizer={"type": "NFC"}), "expected no normalizer, found .*NFC"),
        (changed_json(pre_tokenizer=None), "expected the pre_tokenizer .*ByteLevel.*, found None"),
        (changed_json(pre_tokenizer="ByteLevel"), "the pre_tokenizer .*ByteLevel.*, found ByteLevel"),
        (changed_json(pre_tokenizer=[1]), r"expected the pre_tokenizer .*ByteLevel.*, found \[1\]"),
        (changed_json(added_tokens=5), "added_tokens: expected special tokens alone, found 5"),
        (changed_json(pre_tokenizer={"type": "Whitespace"}), "the pre_tokenizer .* found .*Whitespace"),
        (changed_json(pre_tokenizer__add_prefix_space=True), "'add_prefix_space': True"),
        (changed_json(model__vocab=[]), "model.vocab: expected an object"),
        (changed_json(model__vocab={"a": 1.5}), "model.vocab: expected an object of tokens and their ids"),
        (changed_json(model__vocab=lambda vocab: vocab | {"zzz": 701}), "found 'zzz', no such"),
        (changed_json(model__vocab=lambda vocab: vocab | {"Ġ": 701}), r"json: ids\[220\]: .* found 701"),
        (
            changed_json(model__vocab=lambda vocab: {t: i for t, i in vocab.items() if t != "Ġ"}),
            r"expected all 256 bytes, found no b' '",
        ),
        (changed_json(model__merges={}), "model.merges: expected a list, found dict"),
        (changed_json(model__merges=lambda merges: [*merges, 7]), r"model.merges\[443\]: .* found 7"),
        (changed_json(model__merges=lambda merges: merges[1:]), r"model.merges\[\d+\]: expected two"),
        (changed_json(model__merges=lambda merges: [*merges, merges[0]]), r"merges\[443\]: expected two"),
        (changed_json(added_tokens=[{"content": "x", "id": 3, "special": False}]), "special tokens alone"),
        (changed_json(added_tokens=["x"]), "added_tokens: expected special tokens alone, found x"),
        (changed_json(added_tokens=[{"content": "<|endoftext|>", "special": True}]), "ids.*found None"),
        (lambda path: (path / "tokenizer.json").write_text("{"), "not readable as JSON"),
        (lambda path: (path / "tokenizer.json").write_text("{" + '"a":{' * 10**5), "not readable as JSON"),
        (lambda path: (path / "tokenizer.json").write_bytes(b"{\xff"), "not readable as JSON"),
        (lambda path: (path / "tokenizer.json").write_text("<html>"), "line 1: expected .*found b'<html>'"),
        (lambda path: (path / "tokenizer.json").write_text(""), "line 1: expected .* found b''"),
    ],
)
def test_what_is_wrong_with_a_tokenizer_json_is_said(tmp_path, change, said):
    change(tmp_path)
    with pytest.raises(DataError, match=said) as error:
        Tokenizer.load(tmp_path)
    assert "Traceback" not in str(error.value)


def ranks_of(tok):
    """The lines of a file of ranks."""
    return [b"%s %d" % (base64.b64encode(token), rank) for rank, token in enumerate(tok.tokens[:-1])]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: lines[:5] + lines[6:], "expected the ranks 0 to 263, each once"),
        (lambda lines: [*lines[:-1], lines[0]], r"line 265: expected a new token in base64.*found b'IQ== 0'"),
        (lambda lines: [*lines, b"%%%% 265"], r"line 266: expected a new token.* found b'%%%% 265'"),
        (lambda lines: [*lines, b"YWJjZGVmZw== x"], r"line 266: expected a new token"),
        (lambda lines: [*lines, b"YWJjZGVmZw=="], r"line 266: expected a new token"),
        (lambda lines: [*lines, b"A 265"], r"line 266: expected a new token"),
        (lambda lines: [*lines, b"YWJjZGVmZw== 265"], r"b'abcdefg' of rank 265 to be 7"),
        (lambda lines: [b"enp6eg== 0", *lines[1:]], "expected all 256 bytes, found no 0x21"),
    ],
)
def test_what_is_wrong_with_a_file_of_ranks_is_said(tmp_path, change, said):
    lines = ranks_of(SMALL)
    assert len(lines) == 265
    (tmp_path / "a.tiktoken").write_bytes(b"\n".join(lines) + b"\n")
    assert Tokenizer.load(tmp_path / "a.tiktoken").tokens == SMALL.tokens
    (tmp_path / "a.tiktoken").write_bytes(b"\n".join(change(lines)) + b"\n")
    with pytest.raises(DataError, match=said):
        Tokenizer.load(tmp_path / "a.tiktoken")


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(DataError, match="expected a saved tokenizer, found a pipe, socket or device"):
            Tokenizer.load(path)


@pytest.mark.parametrize("path", [None, 7, "nul\0byte", ""])
def test_what_can_be_no_path_is_said(path):
    for action in (Tokenizer.load, TOK.save):
        with pytest.raises(DataError, match="path: expected the name of a tokenizer's file"):
            action(path)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_tokenizer_or_a_data_error(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any"
    for start in (b"", b"{", b"#version: 0.2\n", b"#minigpt-bpe version: 1 ", b"IQ== 0\n"):
        path.write_bytes(start + content)
        with contextlib.suppress(DataError):
            assert Tokenizer.load(path).n_vocab >= 257
