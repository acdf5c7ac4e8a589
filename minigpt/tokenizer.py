"""GPT-2's tokenizer: text is cut into pieces, each piece's UTF-8 bytes are merged (bpe.py), tokens have ids.

The ids, in order: the 256 bytes, one for each merge, <|endoftext|>. So a tokenizer is its list of merges.

encode never gives <|endoftext|>: in a text these characters are text. Whoever joins texts puts `eot` between.
There are no other special tokens, and no other way to cut text into pieces than GPT-2's.
"""

import hashlib
import operator
import os
from collections import Counter
from itertools import chain
from pathlib import Path

import regex

from minigpt import bpe
from minigpt.errors import DataError

# Merges stay within a piece, so that no token holds the end of one word and the beginning of the next.
# openai/gpt-2, src/encoder.py
PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
PIECE = regex.compile(PATTERN)
END_OF_TEXT = "<|endoftext|>"

# GPT-2 shows a byte as one visible character: the 188 bytes that are visible in Latin-1 as themselves, the
# other 68 as U+0100 and on. Its byte tokens are in the order of these characters.
# openai/gpt-2, src/encoder.py, bytes_to_unicode()
VISIBLE = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
BYTES = bytes(VISIBLE + [byte for byte in range(256) if byte not in VISIBLE])  # id -> byte
BYTE_IDS = bytes(BYTES.index(byte) for byte in range(256))  # byte -> id
SYMBOLS = [chr(code) for code in [*VISIBLE, *range(256, 256 + 68)]]  # id -> visible character
SYMBOL_OF_BYTE = dict(zip(BYTES, SYMBOLS, strict=True))
SMALLEST = len(BYTES) + 1  # a vocabulary of bytes and <|endoftext|>

TOKENIZER = "tokenizer.bpe"  # the name of a saved tokenizer in a checkpoint's folder
FORMAT = "#minigpt-bpe version: 1 "  # the beginning of its first line


class Tokenizer:
    """Text to ids and back. Tokenizer.train or Tokenizer.load makes one.

    merges: pairs of ids, in the order they were learned. tokens: the bytes of every id.
    """

    def __init__(self, merges):
        self.merges = list(merges)
        self.tokens = [bytes([byte]) for byte in BYTES]
        for left, right in self.merges:
            self.tokens.append(self.tokens[left] + self.tokens[right])
        self.tokens.append(END_OF_TEXT.encode())
        self._encoded = EncodedPieces(self.merges)

    @property
    def n_vocab(self):
        """How many ids there are."""
        return len(self.tokens)

    @property
    def eot(self):
        """The id of <|endoftext|>: the last."""
        return self.n_vocab - 1

    @classmethod
    def train(cls, texts, n_vocab):
        """Learn a vocabulary of n_vocab ids, <|endoftext|> included, from an iterable of str.

        Nothing is left to chance, and the order of the texts does not matter: see bpe.learn for ties. Texts
        in which no pair of tokens is left that occurs twice give fewer ids: ask the result for its n_vocab.
        """
        n_merges = checked_size(n_vocab) - SMALLEST
        words = {tuple(byte_ids(piece)): count for piece, count in count_pieces(texts).items()}
        return cls(bpe.learn(words, n_merges))

    def encode(self, text):
        """The ids of a str. A lone surrogate, which UTF-8 cannot express, is encoded as U+FFFD."""
        pieces = PIECE.findall(checked_text(text, "text"))
        return list(chain.from_iterable(map(self._encoded.__getitem__, pieces)))

    def decode(self, ids):
        """The text of a sequence of ids, or of a 1-D integer array; invalid UTF-8 becomes U+FFFD."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def decode_bytes(self, ids):
        """The bytes of a sequence of ids, or of a 1-D integer array."""
        return b"".join([self.tokens[token] for token in checked_ids(ids, self.n_vocab)])

    def save(self, path):
        """Write the merges to a file, a line each, after a header line; all of it or nothing."""
        visible = [token.decode("latin-1").translate(SYMBOL_OF_BYTE) for token in self.tokens]
        lines = [f"{visible[left]} {visible[right]}" for left, right in self.merges]
        replace_file(Path(path), "".join(f"{line}\n" for line in [header_of(lines), *lines]).encode())

    @classmethod
    def load(cls, path):
        """Read a file that save wrote. DataError if it is missing or differs in any way."""
        header, *lines = read_lines(path)
        if not header.startswith(FORMAT):
            raise DataError(f"{path}, line 1: expected {FORMAT!r}..., found {header[:80]!r}")
        merges = parse_merges(lines, path)
        if header != header_of(lines):
            raise DataError(
                f"{path}: line 1 does not fit the lines below, some of which are missing or changed: "
                f"expected {header_of(lines)!r}, found {header[:200]!r}"
            )
        return cls(merges)


class EncodedPieces(dict):
    """The ids of every piece met so far, for texts repeat their words: piece -> ids."""

    LONGEST = 100  # characters; a longer piece seldom comes again
    MOST = 2**18  # pieces, some 100 MB; the frequent ones are met early

    def __init__(self, merges):
        self.merges = {pair: bpe.FIRST_MERGE + rank for rank, pair in enumerate(merges)}

    def __missing__(self, piece):
        ids = bpe.apply(byte_ids(piece), self.merges)
        if len(piece) <= self.LONGEST and len(self) < self.MOST:
            self[piece] = ids
        return ids


def byte_ids(piece):
    """The ids of a text's bytes before any merge."""
    return piece.encode().translate(BYTE_IDS)


def count_pieces(texts):
    """How often each piece occurs in an iterable of str."""
    if isinstance(texts, str) or not hasattr(texts, "__iter__"):
        found = type(texts).__name__
        raise DataError(f"texts: expected an iterable of str, found {found}; put a single text into a list")
    counts = Counter()
    for place, text in enumerate(texts):
        counts.update(PIECE.findall(checked_text(text, f"texts[{place}]")))
    return counts


def checked_text(text, name):
    """text with each lone surrogate replaced by U+FFFD, and surrogate pairs joined; DataError if no str."""
    if not isinstance(text, str):
        raise DataError(f"{name}: expected a str, found {type(text).__name__}")
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", errors="surrogatepass").decode("utf-16", errors="replace")
    return text


def checked_size(n_vocab):
    """n_vocab as an int, or a DataError."""
    whole = as_whole(n_vocab)
    if whole is None or whole < SMALLEST:
        raise DataError(f"n_vocab: expected an integer of at least {SMALLEST}, found {n_vocab!r}")
    return whole


def checked_ids(ids, n_vocab):
    """Yield the ids as ints, or raise a DataError that names the first that is not one of n_vocab."""
    ids = ids.tolist() if hasattr(ids, "tolist") else ids  # arrays are slow to step through
    if not hasattr(ids, "__iter__"):
        raise DataError(f"ids: expected a sequence of integers, found {ids!r}")
    for place, token in enumerate(ids):
        whole = as_whole(token)
        if whole is None or not 0 <= whole < n_vocab:
            raise DataError(f"ids[{place}]: expected an integer from 0 to {n_vocab - 1}, found {token!r}")
        yield whole


def as_whole(value):
    """value as an int if it is an integer of Python or NumPy, else None. A bool is none."""
    try:
        return None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return None


def parse_merges(lines, path):
    """The pairs of ids that lines like "Ġ the" name: two tokens known by then, that make an unknown one."""
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
    """The first line of a saved tokenizer whose other lines these are."""
    content = "".join(f"{line}\n" for line in lines)
    return f"{FORMAT}merges: {len(lines)} sha256: {hashlib.sha256(content.encode()).hexdigest()}"


def read_lines(path):
    """The lines of a UTF-8 file, at least one, each ended by a newline."""
    try:
        *lines, rest = Path(path).read_bytes().decode().split("\n")
    except OSError as reason:
        raise DataError(f"{path}: expected a saved tokenizer: {reason.strerror}") from None
    except UnicodeDecodeError as reason:
        number = reason.object.count(b"\n", 0, reason.start) + 1
        raise DataError(f"{path}, line {number}: expected UTF-8: {reason.reason}") from None
    if rest or not lines:
        number, found = len(lines) + 1, rest[:80]
        raise DataError(f"{path}, line {number}: expected a newline at its end, found only {found!r}")
    return lines


def replace_file(path, content):
    """Put a file in place of what is there, in one step and only once the disk has it."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as reason:
        temporary.unlink(missing_ok=True)
        raise DataError(f"{path}: not writable: {reason.strerror}") from None
