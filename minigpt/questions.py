"""HellaSwag's questions in files: the official JSON lines, and llm.c's .bin of tokens, which is written too.

The .bin (karpathy/llm.c, dev/data/data_common.py, write_evalfile): 256 int32 (magic, version, number of
examples, bytes of the longest, zeros), then for each example uint16 words: START, its bytes, its index, its
label, 4, the context and the four endings, each behind its length.
"""

import json
import os
from pathlib import Path

import numpy as np

from minigpt.disk import no_file, replace_file
from minigpt.errors import DataError
from minigpt.hellaswag import ENDINGS, Question
from minigpt.ours import begins_with, refuse_inputs, refuse_others
from minigpt.strangers import what_is

MAGIC, VERSION, HEADER_INTS, START = 20240522, 1, 256, 2**16 - 1
HEADER_BYTES = 4 * HEADER_INTS
MOST_BYTES = 2**30  # HellaSwag's 10,042 questions are 12 MB
KEYS = ("ctx", "label", "endings")
WANTED = "give HellaSwag's .jsonl, or the .bin that llm.c makes of it"


def read_questions(path, tokenizer):
    """The questions of a .jsonl or .bin file, at least one. Raises DataError."""
    content = content_of(Path(path))
    if content[:4] == MAGIC.to_bytes(4, "little"):
        return parse_bin(content, path, tokenizer.n_vocab)
    questions = parse_lines(content, path, tokenizer)
    if not questions:
        raise DataError(f"{path}: expected questions, found an empty file; {WANTED}")
    return questions


def content_of(path):
    """All bytes of a file that may hold questions."""
    try:
        if found := no_file(path):
            raise DataError(f"{path}: expected a file, found {found}; {WANTED}")
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            head = file.read(4096)
            if found := stranger(head, size):
                raise DataError(f"{path}: expected questions, found {found}; {WANTED}")
            return head + file.read()
    except OSError as reason:
        raise DataError(f"{path}: cannot be read: {reason.strerror}") from None


def stranger(head, size):
    """What a file is that holds no questions for sure, else None."""
    if head.startswith((b"{", MAGIC.to_bytes(4, "little"))) and size <= MOST_BYTES:
        return None
    if known := what_is(head, size):
        return None if known[0].startswith("text") else known[0]
    return f"{size:,} bytes" if size > MOST_BYTES else None


# JSON lines ------------------------------------------------------------------------------------------------


def parse_lines(content, path, tokenizer):
    """Questions from JSON objects with ctx, label and endings, one a line."""
    questions, seen = [], {}
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        line, where = line.strip(), f"{path}, line {number}"
        if not line:
            continue
        if line in seen:
            raise DataError(f"{where}: expected another question, found line {seen[line]} again; remove one")
        seen[line] = number
        questions.append(question_of(entry_of(line, where), where, tokenizer))
    return questions


def entry_of(line, where):
    """A line's JSON object, which has all KEYS."""
    try:
        entry = json.loads(line.decode())
    except UnicodeDecodeError as reason:
        raise DataError(f"{where}: expected UTF-8, found byte {reason.start} not to be; {WANTED}") from None
    except json.JSONDecodeError as reason:
        found = f"{shown(line.decode())} ({reason.msg} at character {reason.pos})"
        raise DataError(f"{where}: expected a JSON object on one line, found {found}") from None
    except (ValueError, RecursionError):
        found = "more digits, or more lists in lists, than can be read"
        raise DataError(f"{where}: expected a JSON object, found {found}") from None
    if not isinstance(entry, dict):
        raise DataError(f"{where}: expected a JSON object, found {shown(entry)}")
    if missing := [key for key in KEYS if key not in entry]:
        advice = "; HellaSwag's test file has no labels: use val" if missing == ["label"] else ""
        raise DataError(f"{where}: expected {', '.join(KEYS)}, found no {' and no '.join(missing)}{advice}")
    return entry


def question_of(entry, where, tokenizer):
    """The Question of a JSON object."""
    endings = entry["endings"]
    if not isinstance(endings, list):
        raise DataError(f"{where}: endings: expected a list of {ENDINGS} texts, found {shown(endings)}")
    context = tokenizer.encode(checked_text(entry["ctx"], f"{where}: ctx"))
    tokens = [
        tokenizer.encode(" " + checked_text(ending, f"{where}: endings[{place}]"))
        for place, ending in enumerate(endings)
    ]
    return checked(Question(context, tokens, entry["label"]), where)


def checked_text(text, where):
    """text, if it is a str that says something."""
    if not isinstance(text, str) or not text.strip():
        raise DataError(f"{where}: expected a text, found {shown(text) if text else repr(text)}")
    return text


def checked(question, where):
    """question, if it has four endings and a label that is one of them."""
    if len(question.endings) != ENDINGS:
        raise DataError(f"{where}: expected {ENDINGS} endings, found {len(question.endings)}")
    if type(question.label) is not int or not 0 <= question.label < ENDINGS:
        raise DataError(
            f"{where}: label: expected the number of the right ending, from 0 to {ENDINGS - 1}, "
            f"found {shown(question.label)}"
        )
    return question


def shown(value, most=60):
    """The beginning of a value as Python writes it."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        text = type(value).__name__
    return text if len(text) <= most else text[:most] + "..."


# llm.c's .bin ----------------------------------------------------------------------------------------------


def parse_bin(content, path, n_vocab):
    """Questions from llm.c's file."""
    if len(content) < HEADER_BYTES or len(content) % 2:
        raise DataError(
            f"{path}: expected a header of {HEADER_BYTES:,} bytes and 16-bit words, found {len(content):,} "
            f"bytes in all; it was cut off: fetch it, or make it, again"
        )
    _, version, count, longest = np.frombuffer(content, "<i4", 4).tolist()
    if version != VERSION:
        raise DataError(f"{path}: header: expected version {VERSION}, found {version}")
    if not 0 < count <= START:
        raise DataError(f"{path}: header: expected from 1 to {START:,} examples, found {count:,}")
    words = np.frombuffer(content[HEADER_BYTES:], "<u2").tolist()
    questions, sizes, at = [], [], 0
    for index in range(count):
        where = f"{path}, example {index} of {count:,} (byte {HEADER_BYTES + 2 * at:,})"
        example = example_at(words, at, index, where)
        questions.append(question_of_words(example, where, n_vocab))
        sizes.append(2 * len(example))
        at += len(example)
    if at != len(words):
        raise DataError(
            f"{path}: expected the {count:,} examples of its header, found {2 * (len(words) - at):,} bytes "
            f"behind them, from byte {HEADER_BYTES + 2 * at:,} on"
        )
    if longest != max(sizes):
        raise DataError(f"{path}: header: expected {max(sizes):,}, the longest's bytes, found {longest:,}")
    return questions


def example_at(words, at, index, where):
    """The words of one example, by what it says of its size."""
    begin = words[at : at + 3]
    if len(begin) < 3:
        raise DataError(f"{where}: expected another example, found the end of the file; was it cut off?")
    if begin[0] != START or begin[2] != index:
        raise DataError(f"{where}: expected {START}, a size and {index}, found {begin}")
    left = 2 * (len(words) - at)
    if begin[1] % 2 or not 10 <= begin[1] <= left:
        raise DataError(
            f"{where}: expected its size, even and up to the {left:,} bytes left, found {begin[1]:,}"
        )
    return words[at : at + begin[1] // 2]


def question_of_words(example, where, n_vocab):
    """The Question of an example's words."""
    lists = lists_of(example[5:], where)
    if example[4] != ENDINGS or len(lists) != 1 + ENDINGS:
        raise DataError(
            f"{where}: expected a context and {ENDINGS} endings, found {len(lists)} lists of ids, of which "
            f"{example[4]} are said to be endings"
        )
    if (largest := max(map(max, lists))) >= n_vocab:
        raise DataError(
            f"{where}: expected ids below the tokenizer's {n_vocab:,}, found {largest:,}; the file was made "
            f"with another tokenizer (llm.c's is GPT-2's): give the .jsonl"
        )
    return checked(Question(lists[0], lists[1:], example[3]), where)


def lists_of(words, where):
    """The lists in a row of words, each behind its length.

    [2, 7, 8, 1, 9] -> [[7, 8], [9]]
    """
    lists, at = [], 0
    while at < len(words):
        ids = words[at + 1 : at + 1 + words[at]]
        if not ids or len(ids) < words[at]:
            name = f"ending {len(lists) - 1}" if lists else "context"
            raise DataError(f"{where}: {name}: expected {words[at] or 'some'} ids, found {len(ids)}")
        lists.append(ids)
        at += 1 + len(ids)
    return lists


def write_bin(path, questions):
    """Write llm.c's file."""
    stream, longest = [], 0
    for index, question in enumerate(questions):
        lists = [word for ids in (question.context, *question.endings) for word in (len(ids), *ids)]
        size = 2 * (5 + len(lists))
        if (largest := max(index, size, *lists)) >= START:
            raise DataError(
                f"{path}: question {index}, counted from 0: expected ids and sizes below {START:,}, "
                f"which 16 bits hold, found {largest:,}"
            )
        stream += [START, size, index, question.label, len(question.endings), *lists]
        longest = max(longest, size)
    header = np.zeros(HEADER_INTS, "<i4")
    header[:4] = MAGIC, VERSION, len(questions), longest
    replace_file(Path(path), header.tobytes() + np.array(stream, "<u2").tobytes())


def refuse_overwriting(path, source):
    """A DataError if write_bin would replace what it is made from, or a file of another kind."""
    refuse_inputs(path, [source], DataError, "write_bin: ")
    refuse_others(path, begins_with(MAGIC.to_bytes(4, "little")), DataError, "write_bin: ")
