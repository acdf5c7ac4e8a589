"""GPT-2's tokenizer: text is cut into pieces (pieces.py), bytes in each are merged (bpe.py), tokens have ids.

A tokenizer is its list of merges. The ids, in order: the 256 bytes, one for each merge, <|endoftext|>. Other
people's files may number the same tokens in another way (`ids`) and name other special tokens.

A special token never comes from plain text: in a text, the characters <|endoftext|> are characters. Whoever
joins texts puts `eot` between, or asks encode for special tokens by name.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import chain
from typing import Literal, Self

import numpy as np

from minigpt import bpe, gpt2, vocabularies
from minigpt.bulk import BulkEncoder, all_reachable
from minigpt.errors import DataError
from minigpt.kinds import StrPath
from minigpt.pieces import cut
from minigpt.symbols import BYTE_IDS, BYTES
from minigpt.token_checks import (
    checked_ids,
    checked_merges,
    checked_numbering,
    checked_size,
    checked_special,
    checked_text,
)
from minigpt.vocabularies.merges_file import parse_merges

END_OF_TEXT = "<|endoftext|>"
SMALLEST = len(BYTES) + 1  # a vocabulary of bytes and <|endoftext|>
TOKENIZER = vocabularies.TOKENIZER  # the name of a saved tokenizer in a checkpoint's folder
BULK = 2**18  # characters in all from which on making the bulk encoder, 50 ms, has paid


class Tokenizer:
    """Text to ids and back. Tokenizer.gpt2, Tokenizer.train or Tokenizer.load makes one.

    merges: pairs of tokens, in the order they were learned; a token is its place among bytes and merges.
    ids: the id of each of these tokens; None: its place. special: special tokens, text -> id; None:
    <|endoftext|>, the last id. tokens: the bytes of every id.
    """

    def __init__(
        self,
        merges: Iterable[tuple[int, int]],
        ids: Sequence[int] | None = None,
        special: Mapping[str, int] | None = None,
    ) -> None:
        self.merges, parts = checked_merges(merges)
        n = len(parts)
        self.special = {END_OF_TEXT: n} if special is None else dict(special)
        self.ids = list(range(n)) if ids is None else list(ids)
        checked_numbering(self.ids, self.special, n)
        of_id = dict(zip(self.ids, parts, strict=True)) | {
            id: text.encode() for text, id in self.special.items()
        }
        self.tokens = [of_id[id] for id in range(len(of_id))]
        self._encoded = EncodedPieces(self.merges, self.ids)
        self._is_sound, self._seen = False, 0

    @property
    def n_vocab(self) -> int:
        """How many ids there are."""
        return len(self.tokens)

    @property
    def eot(self) -> int | None:
        """The id of <|endoftext|>, or of the only special token: the one that stands between documents."""
        return self.special.get(END_OF_TEXT, next(iter(self.special.values())))

    @property
    def dtype(self) -> np.dtype:
        """The smallest type for arrays of ids: uint16 up to 65,536 of them, else uint32."""
        return np.dtype(np.uint16 if self.n_vocab <= 2**16 else np.uint32)

    @classmethod
    def gpt2(cls) -> Self:
        """GPT-2's tokenizer, with its 50,257 ids."""
        lines = gpt2.read("vocab.bpe").split("\n")
        return cls(parse_merges(lines[1:-1], "vocab.bpe"))._known_to_be_sound()

    @classmethod
    def train(cls, texts: Iterable[str], n_vocab: int) -> Self:
        """Learn a vocabulary of n_vocab ids, <|endoftext|> included, from an iterable of str.

        Nothing is left to chance, and the order of the texts does not matter: see bpe.learn for ties. Texts
        in which no pair of tokens is left that occurs twice give fewer ids: ask the result for its n_vocab.
        """
        n_merges = checked_size(n_vocab, SMALLEST) - SMALLEST
        words = {tuple(byte_ids(piece)): count for piece, count in count_pieces(texts).items()}
        return cls(bpe.learn(words, n_merges))._known_to_be_sound()

    def encode(
        self, text: str, special: Literal["all"] | Iterable[str] = (), fast: bool | None = None
    ) -> list[int]:
        """The ids of a str. A lone surrogate, which UTF-8 cannot express, is encoded as U+FFFD.

        special: texts of special tokens to be found in the text, or "all"; elsewhere they are plain text.
        fast: True encodes by tiktoken, False as it stands in bpe.py; None begins with the second and goes
        over to the first when there is much to encode. All agree.
        """
        text, special = checked_text(text, "text"), checked_special(special, self.special)
        if special:
            return self._encode_around(special, text, fast)
        self._seen += len(text)
        if fast or (fast is None and self._seen >= BULK):
            ids = self._bulk.encode(text)
            if ids is not None:
                return ids.tolist()
        return list(chain.from_iterable(map(self._encoded.__getitem__, cut(text))))

    def encode_array(self, text: str) -> np.ndarray:
        """The ids of a str as an array, made in the fastest way there is."""
        text = checked_text(text, "text")
        ids = self._bulk.encode(text)
        return np.array(self.encode(text, fast=False) if ids is None else ids, self.dtype)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of a sequence of ids, or of a 1-D integer array; invalid UTF-8 becomes U+FFFD."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes of a sequence of ids, or of a 1-D integer array."""
        return b"".join([self.tokens[token] for token in checked_ids(ids, self.n_vocab)])

    def save(self, path: StrPath) -> None:
        """Write the tokenizer to a file, all of it or nothing.

        The name decides: .json is the Hugging Face format, .tiktoken a file of ranks, all else a readable
        list of merges. Raises DataError where the format cannot express this tokenizer, and where something
        else than a tokenizer of this format would be written over.
        """
        vocabularies.write(self, path)

    @classmethod
    def load(cls, path: StrPath) -> Self:
        """Read a tokenizer from a file of any format that save writes, from GPT-2's vocab.bpe, or from a
        folder that holds one. DataError if it is missing, damaged, or no byte-level BPE as GPT-2's;
        CheckpointError if it is not the one that its checkpoint's state.json vouches for.
        """
        parts = vocabularies.read(path)
        try:
            return cls(*parts)
        except DataError as reason:
            raise DataError(f"{vocabularies.file_of(path)}: {reason}") from None

    def _encode_around(self, special, text, fast):
        """Encode what stands between special tokens."""
        longest_first = sorted(special, key=len, reverse=True)
        parts = re.split(f"({'|'.join(map(re.escape, longest_first))})", text)
        ids = []
        for plain, token in zip(parts[::2], [*parts[1::2], None], strict=True):
            ids += self.encode(plain, fast=fast)
            ids += [self.special[token]] if token else []
        return ids

    @cached_property
    def _bulk(self):
        return BulkEncoder(self, self._is_sound or all_reachable(self.merges))

    def _known_to_be_sound(self):
        """Spare a vocabulary that was learned as it stands the proof that all its tokens can be reached."""
        self._is_sound = True
        return self


class EncodedPieces(dict):
    """The ids of every piece met so far, for texts repeat their words: piece -> ids."""

    LONGEST = 100  # characters; a longer piece seldom comes again
    MOST = 2**18  # pieces, some 100 MB; the frequent ones are met early

    def __init__(self, merges, ids):
        self.merges = {pair: bpe.FIRST_MERGE + rank for rank, pair in enumerate(merges)}
        self.ids = ids

    def __missing__(self, piece):
        ids = [self.ids[token] for token in bpe.apply(byte_ids(piece), self.merges)]
        if len(piece) <= self.LONGEST and len(self) < self.MOST:
            self[piece] = ids
        return ids


def byte_ids(piece):
    """The tokens of a text's bytes before any merge."""
    return piece.encode().translate(BYTE_IDS)


def count_pieces(texts):
    """How often each piece occurs in an iterable of str."""
    if isinstance(texts, str) or not hasattr(texts, "__iter__"):
        found = type(texts).__name__
        raise DataError(f"texts: expected an iterable of str, found {found}; put a single text into a list")
    counts = Counter()
    for place, text in enumerate(texts):
        counts.update(cut(checked_text(text, f"texts[{place}]")))
    return counts
