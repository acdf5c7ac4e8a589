"""minigpt tokenize: encode, decode, learn a vocabulary, show the work."""

import dataclasses
import os
import sys
from glob import glob
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, subcommand

from minigpt.config import LIMITS, whole_between
from minigpt.errors import DataError
from minigpt.screen import say, say_bytes


@dataclasses.dataclass(frozen=True)
class Show:
    """Show how a text becomes ids: pieces, bytes, each merge with its rank."""

    text: Positional[str] = "-"
    """The text; "-": standard input."""
    tokenizer: str = "gpt2"
    """gpt2, or a tokenizer's file or folder."""

    def run(self):
        """Print the work, line by line."""
        from minigpt.show import shown_work

        say("".join(f"{line}\n" for line in shown_work(load(self.tokenizer), text_of(self.text))))


@dataclasses.dataclass(frozen=True)
class Encode:
    """Text to ids, with spaces between."""

    text: Positional[str] = "-"
    """The text; "-": standard input."""
    tokenizer: str = "gpt2"
    """gpt2, or a tokenizer's file or folder."""
    special: bool = False
    """Whether <|endoftext|> in the text becomes the special token."""

    def run(self):
        """Print the ids."""
        ids = load(self.tokenizer).encode(text_of(self.text), special="all" if self.special else ())
        say(" ".join(map(str, ids)) + "\n")


@dataclasses.dataclass(frozen=True)
class Decode:
    """Ids to text, byte for byte."""

    ids: Positional[tuple[str, ...]] = ()
    """The ids, with spaces or commas between; none: standard input."""
    tokenizer: str = "gpt2"
    """gpt2, or a tokenizer's file or folder."""

    def run(self):
        """Write the bytes that the ids stand for."""
        words = (" ".join(self.ids) if self.ids else text_of("-")).replace(",", " ").split()
        if wrong := next((word for word in words if not (word.isascii() and word.isdigit())), None):
            raise DataError(f"ids: expected whole numbers, found {wrong!r}")
        say_bytes(load(self.tokenizer).decode_bytes(map(int, words)))


@dataclasses.dataclass(frozen=True)
class Learn:
    """Learn a vocabulary from text files."""

    files: Positional[tuple[str, ...]]
    """Text files, UTF-8; quoted globs too."""
    n_vocab: int
    """Ids, the 256 bytes and <|endoftext|> included."""
    out: str
    """The file to write; .json: tokenizer.json of Hugging Face; .tiktoken: ranks; else: a list of merges."""

    def run(self):
        """Learn, save, and say what the vocabulary is worth."""
        from minigpt.corpus import read_text
        from minigpt.tokenizer import Tokenizer
        from minigpt.vocabularies import refuse_lost

        whole_between("n_vocab", self.n_vocab, 257, LIMITS["n_vocab"])
        paths = [Path(path) for pattern in self.files for path in sorted(glob(pattern, recursive=True))]
        if not paths:
            raise DataError(f"files: no file matches {' '.join(self.files)}")
        refuse_lost(self.out, inputs=paths)
        texts = [read_text(path) for path in paths]
        if not any(texts):
            raise DataError(f"files: expected text to learn from, found {len(texts)} empty files")
        tokenizer = Tokenizer.train(texts, self.n_vocab)
        tokenizer.save(Path(self.out))
        size = sum(len(text.encode()) for text in texts)
        tokens = sum(len(tokenizer.encode_array(text)) for text in texts)
        say(
            f"{self.out}: {tokenizer.n_vocab:,} ids from {size:,} bytes, {size / tokens:.2f} bytes a token, "
            f"longest {max(tokenizer.tokens[:-1], key=len)!r}\n"
        )


@dataclasses.dataclass(frozen=True)
class Tokenize:
    """Text to ids and back, and how."""

    action: (
        Annotated[Show, subcommand("show", description=Show.__doc__)]
        | Annotated[Encode, subcommand("encode", description=Encode.__doc__)]
        | Annotated[Decode, subcommand("decode", description=Decode.__doc__)]
        | Annotated[Learn, subcommand("train", description=Learn.__doc__)]
    )

    def run(self):
        """Carry out the action."""
        self.action.run()


def load(name):
    """The tokenizer that a flag names."""
    from minigpt.tokenizer import Tokenizer

    return Tokenizer.gpt2() if name == "gpt2" else Tokenizer.load(name)


def text_of(text):
    """The text of an argument, or standard input's."""
    if text != "-":
        return as_typed(text)
    if sys.stdin is None:
        raise DataError("standard input is closed: expected a text from it, or as an argument")
    return decoded(sys.stdin.buffer.read(), "standard input")


def as_typed(text):
    """The text of an argument; where the locale has no letter for a byte, Python puts a surrogate for it."""
    if any("\ud800" <= c <= "\udfff" for c in text):
        return decoded(os.fsencode(text), "text")
    return text


def decoded(content, name):
    """UTF-8 as text. Raises DataError, which says by name whose bytes they are."""
    try:
        return content.decode()
    except UnicodeDecodeError as reason:
        raise DataError(f"{name}: expected UTF-8, found byte {reason.start} not to be") from None
