"""A text to learn from that comes with the package: the State of the Union addresses, 1790 to 2021.

sotu.jsonl.xz holds the addresses, sotu.json facts about them, SOTU-LICENSE their licence (public domain);
tools/vendor_sotu.py writes all three.
"""

import hashlib
import importlib.resources
import json
import lzma

from minigpt.errors import DataError

FOLDER = importlib.resources.files(__name__)
HELD_OUT = slice(10, None, 20)  # every 20th address from the 11th on: some of every age


def load_sotu(folder=FOLDER):
    """The addresses as (name, text) pairs in the order of their names, which begin with the year."""
    path = folder / "sotu.jsonl.xz"
    try:
        lines = lzma.decompress(_read(path))
    except lzma.LZMAError as reason:
        raise DataError(f"{path}: damaged: {reason}; install minigpt again") from None
    expected, found = facts(folder)["sha256_jsonl"], hashlib.sha256(lines).hexdigest()
    if found != expected:
        raise DataError(f"{path}: expected SHA-256 {expected}, found {found}; install minigpt again")
    documents = map(json.loads, lines.decode().split("\n")[:-1])
    return [(document["name"], document["text"]) for document in documents]


def facts(folder=FOLDER):
    """What is known about the addresses: how many and how long, SHA-256, what compressors make of them."""
    path = folder / "sotu.json"
    try:
        known = json.loads(_read(path))
    except ValueError as reason:  # not UTF-8, or not JSON
        raise DataError(f"{path}: damaged: {reason}; install minigpt again") from None
    if not isinstance(known, dict) or "sha256_jsonl" not in known:
        raise DataError(f"{path}: damaged: expected an object with sha256_jsonl; install minigpt again")
    return known


def split(documents):
    """The documents to train on, and those held out: every 20th from the 11th on, at 10, 30, 50, ..."""
    documents = list(documents)
    if len(documents) <= HELD_OUT.start:
        raise DataError(f"documents: expected at least {HELD_OUT.start + 1} to split, found {len(documents)}")
    held_out = documents[HELD_OUT]
    del documents[HELD_OUT]
    return documents, held_out


def _read(path):
    """The bytes of one of the package's files."""
    try:
        return path.read_bytes()
    except OSError as reason:
        raise DataError(f"{path}: not readable: {reason.strerror}; install minigpt again") from None
