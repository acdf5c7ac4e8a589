"""The text of a run: read, split into training and held-out documents, tokenized."""

import glob
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minigpt import texts
from minigpt.errors import DataError
from minigpt.tokenizer import Tokenizer

HELD_OUT = 0.1  # of the characters of a text that has too few documents to hold out whole ones


class Corpus(NamedTuple):
    """Token ids for training and validation; <|endoftext|> stands before each document."""

    tokenizer: Tokenizer
    train_ids: np.ndarray
    val_ids: np.ndarray
    val_bytes: bytes  # the held-out text, to count bits by


def read_documents(pattern):
    """(training, held-out) lists of texts: the State of the Union addresses, or the files of a glob.

    With 20 documents or more, every 20th is held out, from the 11th on; with fewer, the end of the text.
    """
    if pattern is None:
        documents = [text for _, text in texts.load_sotu()]
    else:
        paths = sorted(path for path in map(Path, glob.glob(pattern, recursive=True)) if path.is_file())
        if not paths:
            raise DataError(f"data: no file matches {pattern!r}; give a path or a quoted glob of text files")
        documents = [read_text(path) for path in paths]
    if len(documents) >= 20:
        return texts.split(documents)
    whole = "\n\n".join(documents)
    cut = round(len(whole) * (1 - HELD_OUT))
    if not 0 < cut < len(whole):
        raise DataError(f"data: {pattern!r} holds {len(whole)} characters: too few to train on")
    return [whole[:cut]], [whole[cut:]]


def read_text(path):
    """A file's text, or a DataError that says where it stops being UTF-8."""
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as reason:
        raise DataError(
            f"{path}: expected UTF-8 text, found byte {reason.start} not to be: {reason}"
        ) from None
    except OSError as reason:
        raise DataError(f"{path}: cannot be read: {reason}") from None


def tokenize(documents, tokenizer):
    """All documents as one row of ids, each behind an <|endoftext|>."""
    ids = []
    for text in documents:
        ids.append(tokenizer.eot)
        ids.extend(tokenizer.encode(text))
    return np.array(ids, np.uint16 if tokenizer.n_vocab <= 2**16 else np.uint32)


def read_corpus(pattern, n_vocab, tokenizer=None):
    """The Corpus of a text; its tokenizer is learned from the training part, unless one is given."""
    train, held_out = read_documents(pattern)
    tokenizer = tokenizer or Tokenizer.train(train, n_vocab)
    val_bytes = "".join(held_out).encode("utf-8", errors="replace")
    return Corpus(tokenizer, tokenize(train, tokenizer), tokenize(held_out, tokenizer), val_bytes)
