"""What a run reads: which part of a text is held out, which shards are, and whose tokenizer they have."""

import dataclasses
import functools
import hashlib
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigpt import texts
from minigpt.compressors import bits_per_byte
from minigpt.corpus import first_ids, read_corpus, read_documents, tokenize
from minigpt.errors import ConfigError, DataError
from minigpt.options import Recipe
from minigpt.recipe import settings
from minigpt.shards import HEADER_INTS, MAGIC, VERSION, TokenShards
from minigpt.sources import files_of
from minigpt.tokenizer import Tokenizer

POEM = "Tyger Tyger, burning bright, In the forests of the night; " * 20


@pytest.fixture(scope="module", autouse=True)
def gpt2_once():
    """GPT-2's tokenizer is made once for all these tests, which takes a quarter of a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tokenizer, "gpt2", functools.cache(Tokenizer.gpt2))
        yield


def recipe(data, **options):
    """What `minigpt train` would ask for."""
    return Recipe(**{"data": str(data), "context": 8, "n_vocab": 300} | options)


def shard_recipe(data, **options):
    return recipe(data, **{"n_vocab": None} | options)


def write_shard(path, ids):
    """A shard as llm.c lays it out."""
    header = np.zeros(HEADER_INTS, "<i4")
    header[:3] = MAGIC, VERSION, len(ids)
    path.write_bytes(header.tobytes() + np.asarray(ids, "<u2").tobytes())


# text


def test_the_default_text_is_the_addresses_with_every_20th_held_out():
    train, held_out = read_documents()
    documents = [text for _, text in texts.load_sotu()]
    assert held_out == documents[10::20]
    assert len(train) + len(held_out) == len(documents) == 233


def test_many_files_are_documents_and_few_are_cut_near_the_end(tmp_path):
    for i in range(30):
        (tmp_path / f"{i:02d}.txt").write_text(f"text {i}")
    train, held_out = read_documents(files_of(str(tmp_path / "*.txt")))
    assert held_out == ["text 10"]
    assert len(train) == 29
    train, held_out = read_documents(files_of(str(tmp_path / "0[0-4].txt")))
    assert "".join(train + held_out) == "\n\n".join(f"text {i}" for i in range(5))
    assert len(held_out[0]) == 4


def test_text_to_validate_on_may_be_named(tmp_path):
    for i in range(30):
        (tmp_path / f"{i:02d}.txt").write_text(f"text {i}")
    train, held_out = read_documents(files_of(str(tmp_path / "0*.txt")), str(tmp_path / "2*.txt"))
    assert train == [f"text {i}" for i in range(10)]
    assert held_out == [f"text {i}" for i in range(20, 30)]


def test_ids_decode_to_the_text_with_end_of_text_before_each(tmp_path):
    (tmp_path / "poem.txt").write_text(POEM, newline="")
    found = read_corpus(recipe(tmp_path / "poem.txt"))
    assert found.learned
    assert found.tokenizer.n_vocab <= 300
    text = found.tokenizer.decode(np.concatenate([*found.train, found.val_ids]))
    assert (
        text == "<|endoftext|>" + POEM[: round(0.9 * len(POEM))] + "<|endoftext|>" + found.val_bytes.decode()
    )
    assert found.n_train == len(found.train[0])
    assert found.fingerprint == hashlib.sha256(found.train[0].tobytes()).hexdigest()


def test_a_resumed_run_takes_the_tokenizer_that_it_learned(tmp_path):
    (tmp_path / "poem.txt").write_text(POEM, newline="")
    learned = Tokenizer.train(["another text " * 9], 270)
    found = read_corpus(recipe(tmp_path / "poem.txt"), learned)
    assert found.tokenizer is learned
    named = read_corpus(recipe(tmp_path / "poem.txt", tokenizer="gpt2", n_vocab=None), learned)
    assert named.tokenizer.n_vocab == 50_257
    assert not named.learned


@pytest.mark.parametrize(("preset", "n_vocab"), [("small", 300), ("gpt2", 50_257)])
def test_text_is_tokenized_as_the_preset_says(tmp_path, preset, n_vocab):
    (tmp_path / "poem.txt").write_text(POEM)
    learn = {"n_vocab": 300} if preset == "small" else {"n_vocab": None}
    found = read_corpus(recipe(tmp_path / "poem.txt", preset=preset, **learn))
    assert found.tokenizer.n_vocab <= n_vocab
    assert found.learned == (preset == "small")


def test_text_may_be_tokenized_by_a_saved_tokenizer(tmp_path):
    (tmp_path / "poem.txt").write_text(POEM)
    tokenizer = Tokenizer.train([POEM], 280)
    tokenizer.save(tmp_path / "saved.json")
    for name in ("saved.json", "."):
        (tmp_path / "tokenizer.json").write_bytes((tmp_path / "saved.json").read_bytes())
        options = {"tokenizer": str(tmp_path / name), "n_vocab": None}
        found = read_corpus(recipe(tmp_path / "poem.txt", **options))
        assert found.tokenizer.tokens == tokenizer.tokens
        assert not found.learned


@given(documents=st.lists(st.text(), min_size=1, max_size=4))
def test_tokens_are_those_of_each_document_alone(documents):
    tokenizer = Tokenizer.train(["ab abc abcd " * 9], 262)
    ids = tokenize(documents, tokenizer)
    assert ids.tolist() == [i for text in documents for i in (tokenizer.eot, *tokenizer.encode(text))]
    assert ids.dtype == np.uint16


def test_files_that_are_no_text_are_named(tmp_path):
    with pytest.raises(DataError, match="no file matches"):
        read_corpus(recipe(tmp_path / "*.txt"))
    (tmp_path / "a.txt").write_bytes(b"good \xff bad")
    with pytest.raises(DataError, match=r"a.txt: expected UTF-8, found byte 0xff at 5; .*-f latin1"):
        read_corpus(recipe(tmp_path / "a.txt"))
    (tmp_path / "a.txt").write_bytes(POEM.encode("utf-16"))
    with pytest.raises(DataError, match=r"found byte 0xff at 0; convert it, .* iconv -f utf-16 -t utf-8$"):
        read_corpus(recipe(tmp_path / "a.txt"))
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(DataError, match="holds 0 characters: too few"):
        read_corpus(recipe(tmp_path / "a.txt"))
    (tmp_path / "a.txt").write_text(POEM[:40])
    with pytest.raises(DataError, match=r"27 tokens, but one window needs context \+ 1 = 65"):
        read_corpus(recipe(tmp_path / "a.txt", context=64))


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "a.parquet"])
def test_what_must_be_prepared_first_is_said_so(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(DataError, match=r"expected text or token shards, found \.[a-z]+; .*`minigpt data '"):
        read_corpus(recipe(tmp_path / name))


def test_text_and_shards_are_not_mixed(tmp_path):
    (tmp_path / "a.txt").write_text(POEM)
    write_shard(tmp_path / "a.bin", [1] * 99)
    with pytest.raises(DataError, match=r"found both, .*a.txt and .*a.bin"):
        read_corpus(recipe(tmp_path / "*"))
    with pytest.raises(DataError, match=r"val-data: .*a.bin: expected text"):
        read_corpus(recipe(tmp_path / "a.txt", val_data=str(tmp_path / "a.bin")))
    with pytest.raises(DataError, match=r"a.txt: expected a token shard, .*found text"):
        read_corpus(shard_recipe(tmp_path / "a.bin", val_data=str(tmp_path / "a.txt")))


def test_compressors_on_noise_and_on_nothing_new():
    noise = np.random.default_rng(0).integers(0, 256, 10_000, dtype=np.uint8).tobytes()
    assert all(8 <= bits < 8.6 for bits in bits_per_byte(noise).values())
    assert all(bits < 0.2 for bits in bits_per_byte(b"a" * 10_000).values())


# shards


@pytest.fixture
def folder(tmp_path):
    """Shards as `minigpt data` makes them, of two data sets; the ids tell which is which."""
    names = ["a_train_000001", "a_train_000002", "a_val_000000", "b_train_000001", "b_val_000000"]
    for i, name in enumerate(names):
        write_shard(tmp_path / f"{name}.bin", [100 + i] * 50)
    for name in ("manifest.json", "tokenizer_config.json"):
        (tmp_path / name).write_text('{"tokenizer_class": "GPT2Tokenizer"}')
    return tmp_path


def which(found):
    """(training, validation) shards of a corpus by the ids in them."""
    return [int(ids[0]) - 100 for ids in found.train], sorted({int(i) - 100 for i in found.val_ids})


A_1, A_2, A_VAL, B_1, B_VAL = range(5)


@pytest.mark.parametrize(
    ("data", "val_data", "train", "val"),
    [
        ("", None, [A_1, A_2, B_1], [A_VAL, B_VAL]),
        ("*", None, [A_1, A_2, B_1], [A_VAL, B_VAL]),
        ("a_*.bin", None, [A_1, A_2], [A_VAL]),
        ("a_train_*.bin", None, [A_1, A_2], [A_VAL]),  # a_val beside them, b_val is none of theirs
        ("b_train_000001.bin", None, [B_1], [B_VAL]),
        ("?_train_000001.bin", None, [A_1, B_1], [A_VAL, B_VAL]),
        ("a_*.bin", "b_val_*.bin", [A_1, A_2], [B_VAL]),
        ("a_*.bin", "a_train_000002.bin", [A_1], [A_2]),  # never trained on what is validated on
        ("[ab]_train*", None, [A_1, A_2, B_1], [A_VAL, B_VAL]),
    ],
)
def test_shards_with_val_in_their_names_are_for_validation(folder, data, val_data, train, val):
    val_data = val_data and str(folder / val_data)
    found = read_corpus(shard_recipe(folder / data, val_data=val_data))
    assert which(found) == (train, val)
    assert found.n_train == 50 * len(train)


@pytest.mark.parametrize(
    ("train", "val"),
    [
        ("train.bin", "val.bin"),
        ("tiny_shakespeare_train.bin", "tiny_shakespeare_val.bin"),
        ("edu_fineweb10B/edufineweb_train_000001.npy", "edu_fineweb10B/edufineweb_val_000000.npy"),
        ("interval_000001.bin", "interval_val_000000.bin"),
        ("data.bin", "data-val.bin"),
        ("old-val-data_train_000001.bin", "old-val-data_val_000000.bin"),
        ("train_val_split_train.bin", "train_val_split_val.bin"),
    ],
)
def test_names_that_others_use(tmp_path, train, val):
    (tmp_path / train).parent.mkdir(exist_ok=True)
    for name, ids in ((train, [100] * 20), (val, [101] * 20)):
        if name.endswith(".npy"):
            np.save(tmp_path / name, np.array(ids, np.uint16))
        else:
            write_shard(tmp_path / name, ids)
    assert which(read_corpus(shard_recipe(tmp_path / train))) == ([0], [1])
    assert which(read_corpus(shard_recipe((tmp_path / train).parent))) == ([0], [1])


def test_raw_shards_when_said_so(tmp_path):
    for name, token in (("train", 100), ("val", 101)):
        np.full(20, token, "<u2").tofile(tmp_path / f"{name}.bin")
    assert which(read_corpus(shard_recipe(tmp_path, data_format="raw"))) == ([0], [1])
    with pytest.raises(DataError, match=r"train.bin: .*--data-format raw"):
        read_corpus(shard_recipe(tmp_path))


def test_shards_that_do_not_suffice_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"is a folder without shards .*give a quoted glob"):
        read_corpus(recipe(tmp_path))
    write_shard(tmp_path / "a_val_000000.bin", [1] * 9)
    with pytest.raises(DataError, match=r"a_val_000000.bin is for validation, and no other"):
        read_corpus(recipe(tmp_path))
    write_shard(tmp_path / "b_train_000001.bin", [1] * 9)
    with pytest.raises(DataError, match=r"b_val_000000.bin; name some by --val-data GLOB"):
        read_corpus(recipe(tmp_path / "b_*.bin"))
    with pytest.raises(DataError, match=r"9 tokens, but one window needs context \+ 1 = 10"):
        read_corpus(shard_recipe(tmp_path, context=9))
    assert read_corpus(shard_recipe(tmp_path, context=8)).n_train == 9


@pytest.mark.parametrize("ids", [[5], [50_256] * 9])
def test_validation_shards_without_text_are_refused(tmp_path, ids):
    write_shard(tmp_path / "a_train_000001.bin", [1] * 9)
    write_shard(tmp_path / "a_val_000000.bin", ids)
    with pytest.raises(DataError, match="bytes: too few to validate on"):
        read_corpus(shard_recipe(tmp_path))


def test_the_tokenizer_of_shards_lies_beside_them_or_is_gpt2s(folder, tmp_path_factory):
    assert read_corpus(shard_recipe(folder)).tokenizer.n_vocab == 50_257
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    Tokenizer.train(["ab abc abcd " * 9], 261).save(elsewhere / "tokenizer.json")
    (folder / "tokenizer.json").write_bytes((elsewhere / "tokenizer.json").read_bytes())
    assert read_corpus(shard_recipe(folder)).tokenizer.n_vocab == 261
    assert read_corpus(shard_recipe(folder, preset="gpt2")).tokenizer.n_vocab == 261
    assert read_corpus(shard_recipe(folder, tokenizer="gpt2")).tokenizer.n_vocab == 50_257
    write_shard(folder / "a_train_000003.bin", [1, 2, 261])
    with pytest.raises(DataError, match=r"a vocabulary of 261, found 261 at position 2 of 3"):
        read_corpus(shard_recipe(folder))


def test_a_tokenizer_must_fit(folder):
    with pytest.raises(ConfigError, match=r"n_vocab must be the 50257 of the tokenizer .*: found 300"):
        read_corpus(recipe(folder))
    with pytest.raises(ConfigError, match="tokenizer must be gpt2 or a path: found train"):
        read_corpus(shard_recipe(folder, tokenizer="train"))
    with pytest.raises(DataError, match="nowhere"):
        read_corpus(shard_recipe(folder, tokenizer=str(folder / "nowhere")))


def test_validation_reads_the_first_tokens_only_and_says_what_text_they_are(folder):
    found = read_corpus(shard_recipe(folder, eval_tokens=70))
    assert found.val_ids.tolist() == [100 + A_VAL] * 50 + [100 + B_VAL] * 21
    assert found.val_bytes == Tokenizer.gpt2().decode_bytes(found.val_ids)


@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4), n=st.integers(1, 40))
def test_first_ids_run_across_shards(lengths, n):
    ids = np.arange(sum(lengths))
    shards = np.split(ids, np.cumsum(lengths)[:-1])
    np.testing.assert_array_equal(first_ids(shards, n), ids[:n])


def test_training_shards_stay_in_their_files(folder):
    train = read_corpus(shard_recipe(folder)).train
    assert isinstance(train, TokenShards)
    assert not train[0].ids().flags.owndata


# what makes two runs the same


def settings_of(recipe):
    return settings(dataclasses.replace(recipe, n_vocab=1), read_corpus(recipe))


def test_settings_tell_ids_and_tokenizers_apart_not_where_they_lie(folder, tmp_path_factory):
    here = settings_of(shard_recipe(folder))
    moved = tmp_path_factory.mktemp("moved")
    for path in folder.glob("*.bin"):
        (moved / path.name).write_bytes(path.read_bytes())
    assert settings_of(shard_recipe(moved)) == here
    Tokenizer.gpt2().save(moved / "tokenizer.json")
    assert settings_of(shard_recipe(moved, val_data=str(folder / "b_val*"))) == here
    assert settings_of(shard_recipe(moved, tokenizer="gpt2")) == here
    write_shard(Path(moved) / "b_train_000001.bin", [103] * 49 + [104])
    assert {name for name, value in settings_of(shard_recipe(moved)).items() if value != here[name]} == {
        "train_ids_sha256"
    }
    Tokenizer.train(["ab abc abcd " * 9], 261).save(folder / "tokenizer.json")
    assert {name for name, value in settings_of(shard_recipe(folder)).items() if value != here[name]} == {
        "tokenizer"
    }
    assert settings_of(shard_recipe(folder, order="sequential"))["order"] == "sequential"


def test_a_byte_order_mark_stays_in_the_text_and_is_said(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text(POEM)
    assert read_corpus(recipe(tmp_path / "*.txt")).notes == []
    (tmp_path / "b.txt").write_text("\ufeff" + POEM)
    found = read_corpus(recipe(tmp_path / "b.txt"))
    mark = "with a byte order mark (U+FEFF), which is trained on like other text"
    assert found.notes == [f"data: {tmp_path / 'b.txt'} begins {mark}"]
    assert found.tokenizer.decode(found.train[0].tolist()).startswith("<|endoftext|>\ufeffTyger")
    (tmp_path / "a.txt").write_text("\ufeff" + POEM)
    said = f"data: 2 files, the first {tmp_path / 'a.txt'}, begin {mark}"
    assert read_corpus(recipe(tmp_path / "*.txt")).notes == [said]


@pytest.mark.parametrize(("name", "words"), [("a/t.txt", "cannot be looked at"), ("t.txt", "cannot be read")])
def test_what_may_not_be_read_is_said_with_the_way_out(name, words, refuse):
    refuse("a", "t.txt")
    with pytest.raises(DataError) as refused:
        read_corpus(recipe(name))
    said = str(refused.value)
    assert words in said
    assert said.endswith(": Permission denied; give another path, or this user the right to read it")
    assert "Errno" not in said


@pytest.fixture
def refuse(monkeypatch):
    """refuse(folder, file): make both in a new current folder, closed to the user that one then is."""
    root = os.geteuid() == 0
    with tempfile.TemporaryDirectory() as place:

        def make(folder, file):
            Path(place).chmod(0o755)
            monkeypatch.chdir(place)
            Path(folder).mkdir(mode=0)
            Path(file).write_text(POEM)
            Path(file).chmod(0)
            if root:
                os.seteuid(65534)

        yield make
        if root:
            os.seteuid(0)
