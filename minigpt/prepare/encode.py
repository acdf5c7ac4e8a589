"""A unit of work to tokens: what a worker does."""

import hashlib
from typing import NamedTuple

import numpy as np

from minigpt.errors import DataError
from minigpt.prepare.documents import read_unit
from minigpt.token_checks import checked_text
from minigpt.tokenizer import Tokenizer

NO_TOKENS = np.empty(0, np.uint16)


class Recipe(NamedTuple):
    """What a worker must know to encode as all others do."""

    tokenizer: str  # gpt2, or a path
    sha256: str  # of its tokens
    field: str
    eot: str  # before or after


class Encoded(NamedTuple):
    """The tokens of a unit, and what was counted on the way."""

    tokens: np.ndarray
    documents: int  # that begin in the unit
    skipped: int  # rows without a text
    text_bytes: int


class Encoder:
    """encode(unit) -> Encoded."""

    def __init__(self, recipe):
        self.tokenizer = load_tokenizer(recipe.tokenizer)
        if fingerprint(self.tokenizer) != recipe.sha256:
            raise DataError(f"{recipe.tokenizer}: the tokenizer was changed during the run; begin anew")
        self.field, self.eot = recipe.field, recipe.eot
        self.eot_token = np.array([self.tokenizer.eot], np.uint16)

    def __call__(self, unit):
        parts, documents, skipped, text_bytes = [NO_TOKENS], 0, 0, 0
        for stretch in read_unit(unit, self.field):
            if stretch is None:
                skipped += 1
                continue
            documents += stretch.begins
            text_bytes += bytes_of(stretch.text)
            if stretch.begins and self.eot == "before":
                parts.append(self.eot_token)
            parts.append(self.tokenizer.encode_array(stretch.text))
            if stretch.ends and self.eot == "after":
                parts.append(self.eot_token)
        return Encoded(np.concatenate(parts), documents, skipped, text_bytes)


def bytes_of(text):
    """How many bytes of UTF-8 a text is; a lone surrogate is what the tokenizer makes of it, U+FFFD."""
    return len(text) if text.isascii() else len(checked_text(text, "text").encode())


def load_tokenizer(name):
    """The tokenizer of a --tokenizer flag. DataError if its ids do not fit into the shards' 16 bits."""
    tokenizer = Tokenizer.gpt2() if name == "gpt2" else Tokenizer.load(name)
    if tokenizer.n_vocab > 2**16:
        raise DataError(
            f"tokenizer: expected at most {2**16:,} ids, as shards hold 16 bits a token, found "
            f"{tokenizer.n_vocab:,} in {name}; take a smaller vocabulary"
        )
    return tokenizer


def fingerprint(tokenizer):
    """A SHA-256 of the tokens in the order of their ids, each behind its length in 4 bytes, little-endian."""
    digest = hashlib.sha256()
    for token in tokenizer.tokens:
        digest.update(len(token).to_bytes(4, "little") + token)
    return digest.hexdigest()
