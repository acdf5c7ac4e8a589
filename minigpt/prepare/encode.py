"""A unit of work to tokens: what a worker does."""

import hashlib
from typing import NamedTuple

import numpy as np

from minigpt.errors import DataError
from minigpt.prepare.documents import read_unit
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
        # what is plain text has as many bytes as its tokens; <|endoftext|> is none of it
        self.lengths = np.array([len(token) for token in self.tokenizer.tokens])
        self.lengths[self.tokenizer.eot] = 0

    def __call__(self, unit):
        parts, documents, skipped = [NO_TOKENS], 0, 0
        for stretch in read_unit(unit, self.field):
            if stretch is None:
                skipped += 1
                continue
            documents += stretch.begins
            if stretch.begins and self.eot == "before":
                parts.append(self.eot_token)
            parts.append(self.tokenizer.encode_array(stretch.text))
            if stretch.ends and self.eot == "after":
                parts.append(self.eot_token)
        tokens = np.concatenate(parts)
        return Encoded(tokens, documents, skipped, int(self.lengths[tokens].sum()))


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
