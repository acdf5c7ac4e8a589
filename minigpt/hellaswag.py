"""HellaSwag: which of four endings does the model find likeliest? (Zellers et al. 2019, arXiv:1905.07830)

Completion style, as llm.c scores it: each ending follows the context behind a space; acc takes the ending of
the smallest sum of nats, acc_norm of the smallest mean. Questions come from the official JSON lines or from
llm.c's .bin of tokens (karpathy/llm.c, dev/data/data_common.py, write_evalfile), which can be written too.
"""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minigpt.disk import replace_file
from minigpt.errors import DataError
from minigpt.model import forward

MAGIC, VERSION, HEADER_INTS, START = 20240522, 1, 256, 2**16 - 1
ENDINGS = 4


class Question(NamedTuple):
    """The ids of a context and of its endings, and which ending is the right one."""

    context: list
    endings: list
    label: int


class Result(NamedTuple):
    """How many questions were answered right."""

    n: int
    correct: int  # by the sum of nats
    correct_norm: int  # by the mean

    @property
    def acc(self):
        """The share of right answers by the sum."""
        return self.correct / self.n

    @property
    def acc_norm(self):
        """The share of right answers by the mean."""
        return self.correct_norm / self.n


# Questions from files --------------------------------------------------------------------------------------


def read_questions(path, tokenizer):
    """The questions of a .jsonl or .bin file, at least one. Raises DataError."""
    try:
        content = Path(path).read_bytes()
    except OSError as reason:
        raise DataError(f"{path}: cannot be read: {reason.strerror}") from None
    if content[:4] == MAGIC.to_bytes(4, "little"):
        questions = parse_bin(content, path, tokenizer.n_vocab)
    else:
        questions = parse_lines(content, path, tokenizer)
    if not questions:
        raise DataError(f"{path}: expected questions, found none")
    return questions


def parse_lines(content, path, tokenizer):
    """Questions from JSON objects with ctx, label and endings, one a line."""
    questions = []
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            context, label, endings = entry["ctx"], entry["label"], entry["endings"]
            tokens = [tokenizer.encode(" " + ending) for ending in endings]
            question = Question(tokenizer.encode(context), tokens, label)
        except (ValueError, KeyError, TypeError, RecursionError) as reason:
            raise DataError(
                f"{path}, line {number}: expected a JSON object with ctx, label and endings, "
                f"found {line[:60]!r} ({type(reason).__name__}: {str(reason)[:80]})"
            ) from None
        questions.append(checked(question, f"{path}, line {number}"))
    return questions


def checked(question, where):
    """question, if it can be scored."""
    if len(question.endings) != ENDINGS:
        raise DataError(f"{where}: expected {ENDINGS} endings, found {len(question.endings)}")
    if type(question.label) is not int or not 0 <= question.label < ENDINGS:
        raise DataError(f"{where}: expected a label from 0 to {ENDINGS - 1}, found {question.label!r}")
    if not question.context:
        raise DataError(f"{where}: expected a context, found none")
    return question


def parse_bin(content, path, n_vocab):
    """Questions from llm.c's file: START, bytes, index, label, 4, then lists of ids behind their lengths."""
    start = 4 * HEADER_INTS
    if len(content) < start or len(content) % 2:
        raise DataError(f"{path}: expected {start} bytes and uint16 words, found {len(content)} bytes in all")
    header = np.frombuffer(content[:start], "<i4").tolist()
    if header[1] != VERSION:
        raise DataError(f"{path}: expected version {VERSION} in its header, found {header[1]}")
    words = np.frombuffer(content[start:], "<u2").tolist()
    questions, at = [], 0
    for index in range(header[2]):
        size = words[at + 1] // 2 if at + 1 < len(words) else 0
        example, where = words[at : at + size], f"{path}: example {index}"
        if size < 5 or len(example) < size or (example[0], example[2]) != (START, index):
            raise DataError(f"{where}: expected {START}, a size and its index, found {example[:3]}; cut off?")
        lists = lists_of(example[5:], where)
        if example[4] != ENDINGS or len(lists) != 1 + ENDINGS:
            raise DataError(f"{where}: expected a context and {ENDINGS} endings, found {len(lists)} lists")
        if max(map(max, lists)) >= n_vocab:
            raise DataError(f"{where}: expected ids below {n_vocab}, found {max(map(max, lists))}")
        questions.append(checked(Question(lists[0], lists[1:], example[3]), where))
        at += size
    if at != len(words):
        raise DataError(f"{path}: expected {header[2]} examples, found {len(words) - at} words behind them")
    return questions


def lists_of(words, where):
    """The lists in a row of words, each behind its length.

    [2, 7, 8, 1, 9] -> [[7, 8], [9]]
    """
    lists, at = [], 0
    while at < len(words):
        ids = words[at + 1 : at + 1 + words[at]]
        if not ids or len(ids) < words[at]:
            raise DataError(f"{where}: expected {words[at]} ids (at least 1), found {len(ids)}")
        lists.append(ids)
        at += 1 + len(ids)
    return lists


def write_bin(path, questions):
    """Write llm.c's file."""
    stream, longest = [], 0
    for index, question in enumerate(questions):
        lists = [word for ids in (question.context, *question.endings) for word in (len(ids), *ids)]
        size = 2 * (5 + len(lists))
        if max(index, size, *lists) >= START:
            raise DataError(f"{path}: question {index} needs a word beyond {START - 1}, as uint16 has none")
        stream += [START, size, index, question.label, len(question.endings), *lists]
        longest = max(longest, size)
    header = np.zeros(HEADER_INTS, "<i4")
    header[:4] = MAGIC, VERSION, len(questions), longest
    replace_file(Path(path), header.tobytes() + np.array(stream, "<u2").tobytes())


# Answers of a model ----------------------------------------------------------------------------------------


def answer(config, ops, params, questions, batch_size, progress=iter):
    """The nats of every ending, and how many tokens it has.

    -> nats (N, E), counts (N, E)
    """
    rows = [(q.context, ending) for q in questions for ending in q.endings]
    counts = np.array([min(len(ending), config.n_ctx) for _, ending in rows])  # of them, what fits is scored
    nats = np.zeros(len(rows))
    by_length = np.argsort([len(context) + len(ending) for context, ending in rows], kind="stable")
    for start in progress(range(0, len(rows), batch_size)):
        batch = by_length[start : start + batch_size]
        nats[batch] = nats_of_endings(config, ops, params, [rows[i] for i in batch])
    return nats.reshape(-1, ENDINGS), counts.reshape(-1, ENDINGS)


def nats_of_endings(config, ops, params, rows):
    """-log p of each row's ending after its context; a long context loses its beginning.

    rows: B pairs (context, ending). -> nats (B)
    """
    rows = [((context + ending)[-config.n_ctx - 1 :], len(ending)) for context, ending in rows]
    tokens = np.zeros((len(rows), max(len(ids) for ids, _ in rows) - 1), np.int64)  # (B, T)
    for row, (ids, _) in zip(tokens, rows, strict=True):
        row[: len(ids) - 1] = ids[:-1]  # what stands behind is seen by none of these
    logits, _ = forward(config, ops, params, tokens)  # (B, T, V)
    nats = np.empty(len(rows))
    for i, (ids, n) in enumerate(rows):
        n = min(n, len(ids) - 1)
        scores = logits[i, len(ids) - 1 - n : len(ids) - 1].astype(np.float64)  # (n, V)
        top = scores.max(axis=-1, keepdims=True)  # (n, 1)
        log_total = top[:, 0] + np.log(np.exp(scores - top).sum(axis=-1))  # (n)
        nats[i] = (log_total - scores[np.arange(n), ids[-n:]]).sum()
    return nats


def result_of(nats, counts, questions):
    """How many of the likeliest endings are right.

    nats (N, E), counts (N, E)
    """
    labels = np.array([question.label for question in questions])
    by_sum, by_mean = nats.argmin(axis=1), (nats / counts).argmin(axis=1)
    return Result(len(questions), int((by_sum == labels).sum()), int((by_mean == labels).sum()))
