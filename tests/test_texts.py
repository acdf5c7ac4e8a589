"""The text in the package is whole, is what its facts say, and is noticed where it is not."""

import bz2
import gzip
import hashlib
import json
import lzma
import shutil

import pytest

from minigpt import texts
from minigpt.errors import DataError
from tools import vendor_sotu

DOCUMENTS = texts.load_sotu()


@pytest.fixture
def folder(tmp_path):
    """A copy of the package's files, to damage."""
    for name in ("sotu.jsonl.xz", "sotu.json", "SOTU-LICENSE"):
        shutil.copy(texts.FOLDER / name, tmp_path)
    return tmp_path


@pytest.fixture
def source(tmp_path):
    """What the packing tool reads: 12 short addresses, not made in the order of their names."""
    (tmp_path / "source" / "data").mkdir(parents=True)
    for year in reversed(range(1990, 2002)):
        (tmp_path / "source" / "data" / f"{year}_a.txt").write_bytes(f"Year {year}.\r\nÉ\u2028 \n".encode())
        (tmp_path / "source" / "data" / f"{year}_a.json").write_text("{}")
    (tmp_path / "source" / "LICENSE").write_text("free")
    return tmp_path / "source"


def test_every_address_is_there_in_the_order_of_names():
    names = [name for name, _ in DOCUMENTS]
    assert len(names) == 233
    assert names == sorted(set(names))
    assert (names[0], names[-1]) == ("1790_george_washington_n", "2021_joseph_r_biden_d")
    assert DOCUMENTS[0][1].startswith("Fellow-Citizens of the Senate and House of Representatives: In")
    assert min(len(text) for _, text in DOCUMENTS) > 5000


def test_held_out_is_every_twentieth_from_the_eleventh_on():
    train, held_out = texts.split(range(233))
    assert held_out == [10, 30, 50, 70, 90, 110, 130, 150, 170, 190, 210, 230]
    assert sorted(train + held_out) == list(range(233))
    assert train == sorted(train)
    with pytest.raises(DataError, match="expected at least 11 to split, found 10"):
        texts.split(range(10))


@pytest.mark.parametrize("part", ["whole", "held_out"])
def test_the_facts_are_true(part):
    documents = DOCUMENTS if part == "whole" else texts.split(DOCUMENTS)[1]
    text = "".join(text for _, text in documents)
    known = texts.facts()[part]
    assert known["addresses"] == len(documents)
    assert known["characters"] == len(text)
    assert known["utf8_bytes"] == len(text.encode())
    assert known["sha256"] == hashlib.sha256(text.encode()).hexdigest()


def test_the_compressors_need_what_the_facts_say():
    """On the held-out addresses. 1 % for versions of the compressors, which need not give the same bytes."""
    data = "".join(text for _, text in texts.split(DOCUMENTS)[1]).encode()
    packed = {
        "gzip -9": gzip.compress(data, 9),
        "bzip2 -9": bz2.compress(data, 9),
        "xz -9": lzma.compress(data, preset=9),
    }
    bits = {name: 8 * len(content) / len(data) for name, content in packed.items()}
    assert texts.facts()["held_out"]["bits_per_byte"] == pytest.approx(bits, rel=0.01)


def test_the_published_compressor_figures_are_those_of_the_whole_text():
    whole, held_out = (texts.facts()[part]["bits_per_byte"] for part in ("whole", "held_out"))
    published = {"gzip -9": 2.65, "bzip2 -9": 1.81, "xz -9": 1.84}
    assert {name: round(bits, 2) for name, bits in whole.items()} == published
    assert all(held_out[name] > bits for name, bits in whole.items())  # a short text has less to repeat


def test_the_licence_is_beside_the_text():
    licence = (texts.FOLDER / "SOTU-LICENSE").read_text(encoding="utf-8")
    assert "Creative Commons Zero v1.0 Universal" in licence
    assert "Open Data Commons Public Domain Dedication & License 1.0" in licence


def test_an_undamaged_copy_loads(folder):
    assert texts.load_sotu(folder) == DOCUMENTS


@pytest.mark.parametrize("length", [0, 1, 100, 1_000_000, -1])
def test_a_truncated_text_is_noticed(folder, length):
    path = folder / "sotu.jsonl.xz"
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(DataError, match=r"sotu\.jsonl\.xz"):
        texts.load_sotu(folder)


@pytest.mark.parametrize("place", [0, 20, 1_000_000, -1])
def test_a_changed_byte_is_noticed(folder, place):
    path = folder / "sotu.jsonl.xz"
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"sotu\.jsonl\.xz: damaged"):
        texts.load_sotu(folder)


def test_another_text_is_noticed(folder):
    (folder / "sotu.jsonl.xz").write_bytes(lzma.compress(b'{"name": "1790", "text": "shorter"}\n'))
    with pytest.raises(DataError, match=r"sotu\.jsonl\.xz: expected SHA-256 02db5c5dfe2d\w+, found "):
        texts.load_sotu(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]", b"{}"])
def test_damaged_facts_are_noticed(folder, content):
    (folder / "sotu.json").write_bytes(content)
    for read in (texts.facts, texts.load_sotu):
        with pytest.raises(DataError, match=r"sotu\.json: damaged"):
            read(folder)


@pytest.mark.parametrize("name", ["sotu.json", "sotu.jsonl.xz"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(DataError, match=f"{name}: not readable: No such file"):
        texts.load_sotu(folder)


def test_packing_keeps_every_character_and_gives_the_same_bytes_again(source, tmp_path):
    for target in (tmp_path / "first", tmp_path / "second"):
        target.mkdir()
        vendor_sotu.vendor(source, target)
    documents = texts.load_sotu(tmp_path / "first")
    assert documents == [(f"{year}_a", f"Year {year}.\r\nÉ\u2028 \n") for year in range(1990, 2002)]
    assert texts.facts(tmp_path / "first")["held_out"]["addresses"] == 1
    assert (tmp_path / "first" / "SOTU-LICENSE").read_text() == "free"
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes()


def test_the_facts_are_of_the_tools_making():
    known = texts.facts()
    assert json.dumps(known, indent=2) + "\n" == (texts.FOLDER / "sotu.json").read_text(encoding="utf-8")
    assert list(known) == ["source", "sha256_jsonl", "whole", "held_out"]
    assert known["source"] == vendor_sotu.SOURCE
