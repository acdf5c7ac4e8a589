"""Texts of a run: which part is held out, and what is said about files that are none."""

import numpy as np
import pytest

from minigpt import texts
from minigpt.compressors import bits_per_byte
from minigpt.corpus import read_corpus, read_documents
from minigpt.errors import DataError

POEM = "Tyger Tyger, burning bright, In the forests of the night; " * 20


def test_the_default_text_is_the_addresses_with_every_20th_held_out():
    train, held_out = read_documents(None)
    documents = [text for _, text in texts.load_sotu()]
    assert held_out == documents[10::20]
    assert len(train) + len(held_out) == len(documents) == 233


def test_many_files_are_documents_and_few_are_cut_near_the_end(tmp_path):
    for i in range(30):
        (tmp_path / f"{i:02d}.txt").write_text(f"text {i}")
    train, held_out = read_documents(str(tmp_path / "*.txt"))
    assert held_out == ["text 10"]
    assert len(train) == 29
    train, held_out = read_documents(str(tmp_path / "0[0-4].txt"))
    assert "".join(train + held_out) == "\n\n".join(f"text {i}" for i in range(5))
    assert len(held_out[0]) == 4


def test_ids_decode_to_the_text_with_end_of_text_before_each(tmp_path):
    (tmp_path / "poem.txt").write_text(POEM, newline="")
    corpus = read_corpus(str(tmp_path / "poem.txt"), 300)
    assert corpus.tokenizer.n_vocab <= 300
    text = corpus.tokenizer.decode(np.concatenate([corpus.train_ids, corpus.val_ids]))
    assert (
        text == "<|endoftext|>" + POEM[: round(0.9 * len(POEM))] + "<|endoftext|>" + corpus.val_bytes.decode()
    )
    again = read_corpus(str(tmp_path / "poem.txt"), 300, corpus.tokenizer)
    np.testing.assert_array_equal(again.train_ids, corpus.train_ids)


def test_files_that_are_no_text_are_named(tmp_path):
    with pytest.raises(DataError, match="no file matches"):
        read_corpus(str(tmp_path / "*.txt"), 300)
    (tmp_path / "a.txt").write_bytes(b"good \xff bad")
    with pytest.raises(DataError, match=r"a.txt: expected UTF-8 text, found byte 5"):
        read_corpus(str(tmp_path / "a.txt"), 300)
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(DataError, match="holds 0 characters: too few"):
        read_corpus(str(tmp_path / "a.txt"), 300)


def test_compressors_on_noise_and_on_nothing_new():
    noise = np.random.default_rng(0).integers(0, 256, 10_000, dtype=np.uint8).tobytes()
    assert all(8 <= bits < 8.6 for bits in bits_per_byte(noise).values())
    assert all(bits < 0.2 for bits in bits_per_byte(b"a" * 10_000).values())
