"""However files are cut, the tokens are those of whole documents."""

import io
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from minigpt.gpt2 import character_classes
from minigpt.prepare import documents
from minigpt.prepare.encode import Encoder, Recipe, fingerprint
from minigpt.prepare.inputs import Source, find_sources
from minigpt.prepare.units import LINE_CUT, TEXT_CUT, cut_at, cut_file, real_range, row_stops
from tests.prepare.support import SPEECHES, expected_tokens, small, write_jsonl, write_parquet

SPACES = " \n\t\r\x0b\x1c\x85\xa0\u1680\u2000\u200a\u2028\u2029\u202f\u205f\u3000"
TRICKY = SPACES + "ab'st1.é½ßж漢字かン🙂\u200b\u180e\ufeff<|endoftext|>"
TEXTS = st.one_of(st.text(TRICKY, min_size=1, max_size=80), st.text(" \na漢\u3000", min_size=1, max_size=40))
NO_SURROGATES = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def encoder(eot="before"):
    tokenizer, path = small()
    return Encoder(Recipe(path, fingerprint(tokenizer), "text", eot))


ENCODERS = {eot: encoder(eot) for eot in ("before", "after")}


def encode_file(path, unit, eot="before", start=0):
    """(tokens, documents, skipped, text bytes) of a file in units of about so many bytes."""
    source = find_sources([str(path)])[0]
    units = list(cut_file(0, source, "text", start, unit))
    results = [ENCODERS[eot](one) for one in units]
    assert [one.start for one in units] == [start, *(one.stop for one in units)][: len(units)]
    tokens = [id for result in results for id in result.tokens.tolist()]
    return tokens, *(sum(getattr(result, name) for result in results) for name in results[0]._fields[1:])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("units")


@given(TEXTS, st.integers(1, 90), st.sampled_from(["before", "after"]))
@example("\u3000 a", 1, "after")
@example("漢字\n漢字 \u00a0 x", 2, "before")
@example("天気です。\r\n明日。\n\r\u2009x\u2028 y“z”\r\r\n", 1, "before")
@example("no place to cut at", 1, "after")
def test_a_text_in_pieces_has_the_tokens_of_the_whole(folder, text, unit, eot):
    path = folder / "a.txt"
    path.write_bytes(text.encode())
    assert encode_file(path, unit, eot) == (expected_tokens([text], eot), 1, 0, len(text.encode()))


@given(st.lists(st.one_of(TEXTS, NO_SURROGATES), min_size=1, max_size=8), st.integers(1, 200), st.booleans())
def test_lines_in_pieces_have_the_tokens_of_their_documents(folder, texts, unit, after):
    path, eot = folder / "a.jsonl", "after" if after else "before"
    write_jsonl(path, texts)
    size = sum(len(text.encode()) for text in texts)
    assert encode_file(path, unit, eot) == (expected_tokens(texts, eot), len(texts), 0, size)


@given(
    st.lists(st.one_of(st.none(), TEXTS, NO_SURROGATES), min_size=1, max_size=12),
    st.integers(1, 60),
    st.integers(1, 13),
)
def test_rows_in_pieces_have_the_tokens_of_their_documents(folder, texts, unit, group):
    path, there = folder / "a.parquet", [text for text in texts if text is not None]
    write_parquet(path, [*texts, "end"], group)
    size = sum(len(text.encode()) for text in [*there, "end"])
    found = encode_file(path, unit)
    assert found == (expected_tokens([*there, "end"]), len(there) + 1, texts.count(None), size)


def test_speeches_are_cut_into_units_of_about_the_size(folder):
    path, text = folder / "speech.txt", SPEECHES[0]
    path.write_text(text, newline="")
    source = find_sources([str(path)])[0]
    stretches = [
        stretch
        for unit in cut_file(0, source, "text", 0, 100)
        for stretch in documents.read_unit(unit, "text")
    ]
    assert "".join(stretch.text for stretch in stretches) == text
    assert len(stretches) == -(-len(text.encode()) // 100)
    assert max(len(stretch.text) for stretch in stretches) < 130
    assert [stretch.begins for stretch in stretches] == [True] + [False] * (len(stretches) - 1)
    assert [stretch.ends for stretch in stretches] == [False] * (len(stretches) - 1) + [True]


def test_a_cut_follows_every_character_but_white_space_and_controls():
    """All characters there are."""
    white = re.compile(f"[{character_classes()['S']}]")
    codes = [*range(0xD800), *range(0xE000, 0x110000)]
    never = {code for code in codes if white.match(chr(code))} | {*range(0x20), 0x7F}
    for space in " \n\r":
        assert white.match(space)
        content, place, cut = "".join(chr(code) + space for code in codes).encode(), 0, set()
        ends = {match.start() for match in TEXT_CUT.finditer(content)}
        for code in codes:
            place += len(chr(code).encode())
            if place in ends:
                cut.add(code)
            place += 1
        assert len(cut) == len(ends)
        assert set(codes) - cut == never


class Counting(io.BytesIO):
    """A file that knows how much was read."""

    count = 0

    def read(self, n):
        found = super().read(n)
        self.count += len(found)
        return found


@pytest.mark.parametrize(("format", "character"), [("text", "字"), ("text", "\n"), ("jsonl", "x")])
def test_where_nothing_can_be_cut_nothing_is_searched_again_and_again(monkeypatch_blocks, format, character):
    content = (character * 3000).encode()
    monkeypatch_blocks(10)
    source, file = Source("a", "a", format, len(content), 0), Counting(content)
    ranges = [real_range(file, unit) for unit in cut_file(0, source, "text", 0, 100)]
    assert len(ranges) == len(content) / 100
    assert ranges[0] == (0, len(content))
    assert all(start == stop for start, stop in ranges[1:])
    assert file.count < 5 * len(content)  # twice; four of ten bytes are to look behind


@given(TEXTS, st.integers(1, 90), st.sampled_from(["text", "jsonl"]))
def test_real_ranges_lie_side_by_side(text, unit, format):
    content = text.encode()
    units = cut_file(0, Source("a", "a", format, len(content), 0), "text", 0, unit)
    ranges = [real_range(io.BytesIO(content), one) for one in units]
    full = [(start, stop) for start, stop in ranges if start < stop]
    assert [place for one in full for place in one] == sorted(place for one in full for place in one)
    assert b"".join(content[start:stop] for start, stop in full) == content


@given(TEXTS, st.integers(0, 300), st.integers(5, 12))
def test_cuts_do_not_depend_on_the_blocks_that_are_searched(monkeypatch_blocks, text, place, block):
    content = text.encode()
    for pattern in (TEXT_CUT, LINE_CUT):
        good = sorted({0, len(content), *(found.start() for found in pattern.finditer(content))})
        monkeypatch_blocks(block)
        expected = next((one for one in good if one >= place), len(content))
        assert cut_at(io.BytesIO(content), place, len(content), pattern) == expected


@pytest.fixture(scope="module")
def monkeypatch_blocks():
    with pytest.MonkeyPatch.context() as patch:
        yield lambda block: patch.setattr("minigpt.prepare.units.BLOCK", block)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5000)), max_size=12), st.integers(1, 300))
def test_rows_are_cut_where_groups_end_except_within_very_large_ones(groups, unit):
    stops, row = row_stops(groups, unit), 0
    for rows, size in groups:
        within = [stop for stop in stops if row < stop < row + rows]
        assert len(within) <= size // (8 * unit)
        row += rows
    assert stops == sorted(set(stops))
    assert stops[-1] == row


def test_rows_by_hand():
    assert row_stops([(10, 5), (10, 5), (10, 5)], 8) == [20, 30]
    assert row_stops([(10, 800)], 10) == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    assert row_stops([(10, 160), (10, 5)], 10) == [3, 6, 10, 20]
    assert row_stops([], 10) == [0]


def test_white_lines_and_a_byte_order_mark_are_no_documents(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'\xef\xbb\xbf{"text": "one"}\r\n\n  \t\n{"text": "two"}')
    assert encode_file(tmp_path / "a.jsonl", 5)[:2] == (expected_tokens(["one", "two"]), 2)


def test_lone_surrogates_are_what_the_tokenizer_makes_of_them(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "a\\ud800b \\ud83d\\ude42"}\n')
    found = encode_file(tmp_path / "a.jsonl", 99)
    assert found == (expected_tokens(["a\ufffdb 🙂"]), 1, 0, len("a\ufffdb 🙂".encode()))
