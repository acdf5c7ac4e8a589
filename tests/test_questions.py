"""Files of HellaSwag's questions: written word for word, read whole or refused in one clear line."""

import json
import os
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigpt
from minigpt.errors import DataError
from minigpt.hellaswag import Question
from minigpt.questions import read_questions, refuse_overwriting, write_bin

TOK = minigpt.Tokenizer.gpt2()
ENTRIES = [
    {"ctx": "Then", "label": 0, "endings": ["a", "bb cc", "d", "état 漢字"], "ind": 24},
    {
        "ctx": "A man is sitting on a roof. he",
        "label": 3,
        "endings": ["starts to sing.", "is ripping tiles off.", "holds a cube.", "starts roofing."],
    },
    {"ctx": "But", "label": 1, "endings": ["e", "f", "g", "h"]},
]


def line_of(**changes):
    """A line that is as it should be but for some keys; None leaves a key out."""
    entry = {"ctx": "Then", "label": 0, "endings": ["a", "b", "c", "d"]} | changes
    return json.dumps({key: value for key, value in entry.items() if value is not None})


@pytest.fixture
def lines(tmp_path):
    path = tmp_path / "val.jsonl"
    path.write_text("".join(json.dumps(entry) + "\n" for entry in ENTRIES), encoding="utf-8")
    return path


def packed(questions):
    """llm.c's file, packed number by number from the words of its description alone."""
    examples = []
    for index, question in enumerate(questions):
        words = [index, question.label, 4]
        for ids in (question.context, *question.endings):
            words += [len(ids), *ids]
        size = 2 * (2 + len(words))
        examples.append(struct.pack(f"<HH{len(words)}H", 65535, size, *words))
    header = struct.pack("<4i", 20240522, 1, len(questions), max(map(len, examples)))
    return header + bytes(1024 - len(header)) + b"".join(examples)


# Lines -------------------------------------------------------------------------------------------------


def test_lines_become_ids_with_a_space_before_each_ending(lines):
    first, second, _ = read_questions(lines, TOK)
    assert (first.label, second.label) == (0, 3)
    assert second.context == TOK.encode("A man is sitting on a roof. he")
    assert second.endings[1] == TOK.encode(" is ripping tiles off.")
    assert TOK.decode(first.endings[3]) == " état 漢字"


def test_a_byte_order_mark_empty_lines_and_windows_line_ends_change_nothing(lines):
    expected = read_questions(lines, TOK)
    content = lines.read_bytes()
    lines.write_bytes(b"\xef\xbb\xbf\r\n" + content.replace(b"\n", b"\r\n\r\n") + b"  ")
    assert read_questions(lines, TOK) == expected


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "val.jsonl: expected questions, found an empty file"),
        ("\n \n", "val.jsonl: expected questions, found an empty file"),
        ("{", "line 1: expected a JSON object on one line, found '{' (Expecting property name"),
        ("[]", "line 1: expected a JSON object, found []"),
        ("nonsense, and more", "line 1: expected a JSON object on one line, found 'nonsense, and more'"),
        ("[" * 10**6, "found more digits, or more lists in lists, than can be read"),
        ('{"label": 1' + "0" * 5000 + "}", "found more digits, or more lists in lists, than can be read"),
        ("\n\n" + line_of() + "\nnonsense", "line 4: expected a JSON object"),
        (
            line_of() + "\n\n" + line_of(label=1) + "\n" + line_of(),
            "line 4: expected another question, found line 1",
        ),
        (line_of(endings=None), "line 1: expected ctx, label, endings, found no endings"),
        (line_of(endings=None, ctx=None), "found no ctx and no endings"),
        (line_of(label=None), "found no label; HellaSwag's test file has no labels: use val"),
        (line_of(endings=7), "endings: expected a list of 4 texts, found 7"),
        (line_of(endings="abcd"), "endings: expected a list of 4 texts, found 'abcd'"),
        (
            line_of(endings={"a": 1, "b": 2, "c": 3, "d": 4}),
            "endings: expected a list of 4 texts, found {'a': 1",
        ),
        (line_of(endings=["a", "b", "c"]), "expected 4 endings, found 3"),
        (line_of(endings=["a", "b", "c", "d", "e"]), "expected 4 endings, found 5"),
        (line_of(endings=["a", "b", 5, "d"]), "endings[2]: expected a text, found 5"),
        (line_of(endings=["a", "b", None, "d"]), "endings[2]: expected a text, found None"),
        (line_of(endings=["a", "", "c", "d"]), "endings[1]: expected a text, found ''"),
        (line_of(endings=["a", "b", "c", " \t"]), r"endings[3]: expected a text, found ' \t'"),
        (line_of(ctx=7), "ctx: expected a text, found 7"),
        (line_of(ctx=""), "ctx: expected a text, found ''"),
        (line_of(ctx=["a"]), "ctx: expected a text, found ['a']"),
        (line_of(label=4), "label: expected the number of the right ending, from 0 to 3, found 4"),
        (line_of(label=-1), "from 0 to 3, found -1"),
        (line_of(label="1"), "from 0 to 3, found '1'"),
        (line_of(label=True), "from 0 to 3, found True"),
        (line_of(label=1.0), "from 0 to 3, found 1.0"),
        (line_of(label=10**400), "from 0 to 3, found 1000"),
    ],
)
def test_bad_lines_are_named(tmp_path, content, said):
    (tmp_path / "val.jsonl").write_text(content)
    message = refusal(tmp_path / "val.jsonl")
    assert said in message
    assert "\n" not in message
    assert len(message) < 300


def refusal(path, tokenizer=TOK):
    """What is said about a file that is refused."""
    with pytest.raises(DataError) as caught:
        read_questions(path, tokenizer)
    assert str(caught.value).startswith(str(path))
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (bytes(range(128, 256)), "line 1: expected UTF-8, found byte 0 not to be"),
        (line_of().encode() + b"\n" + b'{"ctx": "\xff"', "line 2: expected UTF-8, found byte 9 not to be"),
        (line_of().encode("utf-16"), "line 1: expected UTF-8, found byte 0 not to be"),
        (b"\x1f\x8b\x08\x08" + bytes(60), "expected questions, found a gzip file"),
        (b"PK\x03\x04" + bytes(60), "expected questions, found a zip file"),
        (b"PAR1" + bytes(60), "expected questions, found a parquet file"),
        (b"<!DOCTYPE html><html>", "expected questions, found an HTML page"),
        (struct.pack("<3i", 20240520, 1, 0), "expected questions, found a shard of llm.c"),
        (struct.pack("<3i", 20240326, 1, 0), "expected questions, found a model of llm.c"),
        (
            struct.pack(">3i", 20240522, 1, 0),
            "expected questions, found an evaluation file of llm.c (HellaSwag) with",
        ),
    ],
)
def test_other_files_are_named(tmp_path, content, said):
    (tmp_path / "val.bin").write_bytes(content)
    assert said in refusal(tmp_path / "val.bin")


def test_what_cannot_be_read_is_named(tmp_path):
    assert "cannot be read: No such file" in refusal(tmp_path / "none.jsonl")
    assert "expected a file, found a folder; give HellaSwag's .jsonl" in refusal(tmp_path)
    assert "expected a file, found a pipe, socket or device" in refusal("/dev/zero")
    with open(tmp_path / "large.jsonl", "wb") as file:
        file.truncate(2**40)  # a hole: no byte of it is on the disk
    assert "expected questions, found 1,099,511,627,776 bytes" in refusal(tmp_path / "large.jsonl")


# llm.c's file ------------------------------------------------------------------------------------------

ids_lists = st.lists(st.integers(0, 50256), min_size=1, max_size=9)
question = st.builds(Question, ids_lists, st.lists(ids_lists, min_size=4, max_size=4), st.integers(0, 3))


def test_the_bin_of_lines_is_llm_cs_byte_for_byte(lines, tmp_path):
    questions = read_questions(lines, TOK)
    write_bin(tmp_path / "val.bin", questions)
    by_hand = [
        Question(
            TOK.encode(entry["ctx"]), [TOK.encode(f" {end}") for end in entry["endings"]], entry["label"]
        )
        for entry in ENTRIES
    ]
    content = (tmp_path / "val.bin").read_bytes()
    assert content == packed(by_hand)
    longest = struct.unpack_from("<i", content, 12)[0]
    assert longest == max(2 * (5 + 5 + len(q.context) + sum(map(len, q.endings))) for q in by_hand)
    assert read_questions(tmp_path / "val.bin", TOK) == questions == by_hand


@given(st.lists(question, min_size=1))
def test_any_bin_is_llm_cs_byte_for_byte_and_is_read(tmp_path_factory, questions):
    path = tmp_path_factory.getbasetemp() / "any.bin"
    write_bin(path, questions)
    assert path.read_bytes() == packed(questions)
    assert read_questions(path, TOK) == questions


THREE = [
    Question([1, 2], [[3], [4, 5], [6], [7]], 2),
    Question([8], [[9]] * 4, 0),
    Question([1], [[2]] * 4, 3),
]


@pytest.mark.parametrize(
    ("place", "form", "value", "said"),
    [
        (4, "i", 2, "header: expected version 1, found 2"),
        (8, "i", 0, "header: expected from 1 to 65,535 examples, found 0"),
        (8, "i", -1, "header: expected from 1 to 65,535 examples, found -1"),
        (8, "i", 2**31 - 1, "header: expected from 1 to 65,535 examples, found 2,147,483,647"),
        (8, "i", 2, "expected the 2 examples of its header, found 30 bytes behind them, from byte 1,088 on"),
        (
            8,
            "i",
            4,
            "example 3 of 4 (byte 1,118): expected another example, found the end of the file; was it cut",
        ),
        (12, "i", 33, "header: expected 34, the longest's bytes, found 33"),
        (12, "i", 0, "header: expected 34, the longest's bytes, found 0"),
        (1024, "H", 7, "example 0 of 3 (byte 1,024): expected 65535, a size and 0, found [7, 34, 0]"),
        (1058, "H", 7, "example 1 of 3 (byte 1,058): expected 65535, a size and 1, found [7, 30, 1]"),
        (1062, "H", 0, "example 1 of 3 (byte 1,058): expected 65535, a size and 1, found [65535, 30, 0]"),
        (1060, "H", 29, "expected its size, even and up to the 60 bytes left, found 29"),
        (1060, "H", 62, "expected its size, even and up to the 60 bytes left, found 62"),
        (1060, "H", 8, "expected its size, even and up to the 60 bytes left, found 8"),
        (1064, "H", 4, "example 1 of 3 (byte 1,058): label: expected the number of the right ending"),
        (
            1066,
            "H",
            5,
            "expected a context and 4 endings, found 5 lists of ids, of which 5 are said to be endings",
        ),
        (1068, "H", 0, "example 1 of 3 (byte 1,058): context: expected some ids, found 0"),
        (1068, "H", 65535, "context: expected 65535 ids, found 9"),
        (1068, "H", 3, "expected a context and 4 endings, found 4 lists of ids"),
        (1084, "H", 2, "ending 3: expected 2 ids, found 1"),
        (
            1070,
            "H",
            50257,
            "expected ids below the tokenizer's 50,257, found 50,257; the file was made with another",
        ),
        (
            1116,
            "H",
            65535,
            "example 2 of 3 (byte 1,088): expected ids below the tokenizer's 50,257, found 65,535",
        ),
    ],
)
def test_a_bin_that_lies_is_named(tmp_path, place, form, value, said):
    content = bytearray(packed(THREE))
    struct.pack_into(f"<{form}", content, place, value)
    (tmp_path / "val.bin").write_bytes(content)
    assert said in refusal(tmp_path / "val.bin")


def test_every_truncation_of_a_bin_is_noticed(tmp_path):
    path, whole = tmp_path / "val.bin", packed(THREE)
    for length in (*range(4, 1024, 60), *range(1023, len(whole))):
        path.write_bytes(whole[:length])
        assert "cut off" in refusal(path) or "bytes left" in refusal(path)
    for extra in (b"\0", b"\0\0", b"\xff\xff"):
        path.write_bytes(whole + extra)
        refusal(path)


LINES = "".join(json.dumps(entry) + "\n" for entry in ENTRIES).encode()
edits = st.tuples(st.integers(0, 2000), st.integers(0, 3), st.binary(max_size=4))


@given(st.sampled_from([packed(THREE), LINES, b""]), st.lists(edits, min_size=1, max_size=4))
def test_a_damaged_file_is_read_or_refused_in_one_line(tmp_path_factory, content, edits):
    path, content = tmp_path_factory.getbasetemp() / "damaged", bytearray(content)
    for place, cut, bytes_put in edits:
        place %= len(content) + 1
        content[place : place + cut] = bytes_put
    path.write_bytes(content)
    questions, said = outcome(path)
    assert said.count("\n") == 0
    assert said.startswith(str(path)) or all(map(is_sound, questions))


def outcome(path):
    """The questions of a file and nothing, or nothing and what is said about it."""
    try:
        return read_questions(path, TOK), ""
    except DataError as error:
        return [], str(error)


def is_sound(question):
    """Whether a question can be scored."""
    return bool(len(question.endings) == 4 and question.context and all(question.endings)) and (
        question.label in range(4)
    )


def test_ids_of_another_tokenizer_are_named(tmp_path):
    write_bin(tmp_path / "val.bin", [Question([300], [[1]] * 4, 0)])
    small = minigpt.Tokenizer.train(["the the"], 258)
    assert (
        "expected ids below the tokenizer's 258, found 300; the file was made with another tokenizer"
        in refusal(tmp_path / "val.bin", small)
    )


def test_a_question_that_16_bits_cannot_hold_is_refused(tmp_path):
    for context in ([70000], [65535], [1] * 40000):
        with pytest.raises(
            DataError, match="question 0, counted from 0: expected ids and sizes below 65,535, which"
        ):
            write_bin(tmp_path / "a.bin", [Question(context, [[1]] * 4, 0)])
    assert not (tmp_path / "a.bin").exists()
    write_bin(tmp_path / "a.bin", [Question([65534], [[1]] * 4, 0)])


def test_neither_the_source_nor_any_other_file_is_written_over(tmp_path, lines):
    write_bin(tmp_path / "val.bin", THREE)
    os.link(tmp_path / "val.bin", tmp_path / "hard.bin")
    os.symlink(tmp_path / "val.bin", tmp_path / "soft.bin")
    for path in (tmp_path / "val.bin", tmp_path / "hard.bin", tmp_path / "soft.bin"):
        with pytest.raises(DataError, match=r"is what is read, .*: give another name"):
            refuse_overwriting(path, tmp_path / "val.bin")
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "empty").touch()
    for name in ("model.safetensors", "empty"):
        with pytest.raises(DataError, match=r"write_bin: .* was made by something else: give another name"):
            refuse_overwriting(tmp_path / name, lines)
    for name in ("val.bin", "new.bin"):
        refuse_overwriting(tmp_path / name, lines)
