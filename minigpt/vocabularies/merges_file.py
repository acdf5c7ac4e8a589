"""Lists of merges, to be read by people: a line such as "Ġ the" for each, in the order they were learned.

GPT-2's vocab.bpe is such a list; merges.txt of the Hugging Face hub is another. minigpt's own differs in its
first line, which holds the number of merges and their SHA-256, so that no damage goes unnoticed.
"""

import hashlib

from minigpt.disk import replace_file
from minigpt.errors import DataError
from minigpt.ours import begins_with
from minigpt.symbols import SYMBOLS, shown

MARK = b"#minigpt-bpe version: 1 "
GPT2_MARK = b"#version"


def places(path):
    """(file, whether what is there may be replaced) of each file that write writes."""
    return [(path, begins_with(MARK))]


def write(tokenizer, path):
    """Write the merges, a line each, after a header line."""
    if tokenizer.ids != list(range(len(tokenizer.ids))) or len(tokenizer.special) != 1:
        raise DataError(
            f"{path}: a list of merges cannot hold this tokenizer, whose ids are numbered in another way; "
            f"save it under a name that ends in .json"
        )
    parts = [shown(token) for token in tokenizer.tokens]
    lines = [f"{parts[left]} {parts[right]}" for left, right in tokenizer.merges]
    replace_file(path, "".join(f"{line}\n" for line in [header_of(lines), *lines]).encode())


def read(content, path):
    """(merges, None, None) of a file that write made. DataError if it differs in any way."""
    header, *lines = lines_of(content, path)
    merges = parse_merges(lines, path)
    if header != header_of(lines):
        raise DataError(
            f"{path}: line 1 does not fit the lines below, some of which are missing or changed: "
            f"expected {header_of(lines)!r}, found {header[:200]!r}"
        )
    return merges, None, None


def read_gpt2(content, path):
    """(merges, None, None) of a file in the format of GPT-2's vocab.bpe."""
    return parse_merges(lines_of(content, path)[1:], path), None, None


def parse_merges(lines, path):
    """The pairs of tokens that lines like "Ġ the" name: two known by then, that make an unknown one."""
    known = {symbol: token for token, symbol in enumerate(SYMBOLS)}
    merges = []
    for number, line in enumerate(lines, start=2):  # line 1 is the header
        left, _, right = line.partition(" ")
        if left not in known or right not in known or left + right in known:
            raise DataError(
                f"{path}, line {number}: expected two tokens from above with a space between, "
                f"that together make a new one; found {line[:80]!r}"
            )
        merges.append((known[left], known[right]))
        known[left + right] = len(known)
    return merges


def header_of(lines):
    """The first line of minigpt's own list whose other lines these are."""
    content = "".join(f"{line}\n" for line in lines)
    return f"{MARK.decode()}merges: {len(lines)} sha256: {hashlib.sha256(content.encode()).hexdigest()}"


def lines_of(content, path):
    """The lines of a UTF-8 file, at least one, each ended by a newline."""
    try:
        *lines, rest = content.decode().split("\n")
    except UnicodeDecodeError as reason:
        number = content.count(b"\n", 0, reason.start) + 1
        raise DataError(f"{path}, line {number}: expected UTF-8: {reason.reason}") from None
    if rest or not lines:
        number, found = len(lines) + 1, rest[:80]
        raise DataError(f"{path}, line {number}: expected a newline at its end, found only {found!r}")
    return lines
