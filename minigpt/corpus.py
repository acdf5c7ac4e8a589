"""What a run reads: text, split into training and held-out documents and tokenized, or token shards."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from minigpt import texts
from minigpt.data import window_count
from minigpt.disk import no_file
from minigpt.errors import ConfigError, DataError
from minigpt.recipe import PRESET_RECIPES
from minigpt.shards import TokenShards
from minigpt.sources import are_shards, files_of, tokenizer_beside, train_and_val
from minigpt.tokenizer import Tokenizer

MARK = "\ufeff".encode()
UTF_16 = (b"\xff\xfe", b"\xfe\xff")  # what it begins with, in either order of bytes
HELD_OUT = 0.1  # of the characters of a text that has too few documents to hold out whole ones


class Corpus(NamedTuple):
    """Token ids for training and validation; <|endoftext|> stands between documents."""

    name: str  # for people
    tokenizer: Tokenizer
    learned: bool  # whether the tokenizer was learned from this text
    train: Sequence  # rows of ids: one for a text, else one a shard
    val_ids: np.ndarray
    val_bytes: bytes  # the text of val_ids
    fingerprint: str  # of train
    notes: Sequence[str] = ()  # what there is to say of the files, in lines

    @property
    def n_train(self):
        """How many tokens there are to train on."""
        return sum(map(len, self.train))

    def facts(self):
        """Its name, how many tokens are trained on, and how many are held out, of how much text."""
        held_out = {"held_out_tokens": len(self.val_ids), "held_out_bytes": len(self.val_bytes)}
        return {"name": self.name, "train_tokens": self.n_train} | held_out


def read_corpus(recipe, learned=None):
    """The Corpus that a recipe asks for. learned: the tokenizer that an earlier part of the run learned."""
    paths = files_of(recipe.data) if recipe.data else []
    shards = bool(recipe.data_format) or are_shards(paths)
    corpus = corpus_of_shards(recipe, paths) if shards else corpus_of_text(recipe, paths, learned)
    if not any(window_count(len(ids), recipe.context) for ids in corpus.train):
        longest = max(map(len, corpus.train))
        raise DataError(
            f"training text: {longest} tokens, but one window needs context + 1 = {recipe.context + 1}; "
            f"give more text or a shorter --context"
        )
    return corpus


def corpus_of_shards(recipe, paths):
    """Shards that stay where they are; their tokenizer lies beside them, or it is GPT-2's."""
    if recipe.tokenizer == "train":
        raise ConfigError("tokenizer must be gpt2 or a path: found train, but shards hold tokens, not text")
    train, val = train_and_val(paths, recipe.val_data)
    tokenizer = named_tokenizer(recipe.tokenizer or tokenizer_beside(train) or "gpt2", recipe.n_vocab)
    train, val = (TokenShards(files, tokenizer.n_vocab, recipe.data_format) for files in (train, val))
    ids = first_ids(val, recipe.eval_tokens + 1)
    name = f"{len(train)} shard{'s'[: len(train) > 1]} of {recipe.data}"
    return Corpus(name, tokenizer, False, train, ids, text_of(ids, tokenizer), train.fingerprint())


def corpus_of_text(recipe, paths, learned):
    """Text in memory; its tokenizer is learned from the training part, unless another is asked for."""
    train, held_out = read_documents(paths, recipe.val_data)
    preset = PRESET_RECIPES[recipe.preset]
    name = recipe.tokenizer or preset["tokenizer"]
    if name == "train":
        tokenizer = learned or Tokenizer.train(train, recipe.n_vocab or preset["n_vocab"])
    else:
        tokenizer = named_tokenizer(name, recipe.n_vocab)
    ids = tokenize(train, tokenizer)
    val_ids = tokenize(held_out, tokenizer)[: recipe.eval_tokens + 1]
    title, fingerprint = recipe.data or "State of the Union addresses", hashlib.sha256(ids).hexdigest()
    val_bytes = text_of(val_ids, tokenizer)
    notes = marks(paths)
    return Corpus(title, tokenizer, name == "train", [ids], val_ids, val_bytes, fingerprint, notes)


def marks(paths):
    """A line about files that begin with a byte order mark: it stays, for a text is what its bytes are."""
    marked = [path for path in paths if head_of(path, len(MARK)) == MARK]
    if not marked:
        return []
    which = marked[0] if len(marked) == 1 else f"{len(marked)} files, the first {marked[0]},"
    verb = "begins" if len(marked) == 1 else "begin"
    return [f"data: {which} {verb} with a byte order mark (U+FEFF), which is trained on like other text"]


def head_of(path, size):
    """A file's first bytes."""
    with open(path, "rb") as file:
        return file.read(size)


def named_tokenizer(name, n_vocab):
    """GPT-2's tokenizer, or the one in a file or folder; n_vocab, if given, must be how many ids it has."""
    tokenizer = Tokenizer.gpt2() if name == "gpt2" else Tokenizer.load(name)
    if n_vocab not in (None, tokenizer.n_vocab):
        raise ConfigError(
            f"n_vocab must be the {tokenizer.n_vocab} of the tokenizer ({name}): found {n_vocab}; "
            f"leave --n-vocab out"
        )
    return tokenizer


def read_documents(paths=(), val_data=None):
    """(training, held-out) lists of texts: of files, or the State of the Union addresses.

    With 20 documents or more, every 20th is held out, from the 11th on; with fewer, the end of the text;
    with val_data, its files.
    """
    documents = [read_text(path) for path in paths] or [text for _, text in texts.load_sotu()]
    if val_data:
        paths = files_of(val_data, "val-data")
        if are_shards(paths):
            raise DataError(f"val-data: {paths[0]}: expected text, as --data is, found a token shard")
        return documents, [read_text(path) for path in paths]
    if len(documents) >= 20:
        return texts.split(documents)
    whole = "\n\n".join(documents)
    cut = round(len(whole) * (1 - HELD_OUT))
    if not 0 < cut < len(whole):
        raise DataError(f"data: {paths[0]} holds {len(whole)} characters: too few to train on")
    return [whole[:cut]], [whole[cut:]]


def read_text(path):
    """A file's text, or a DataError that says where it stops being UTF-8."""
    try:
        if found := no_file(path):
            raise DataError(f"{path}: expected a file of text, found {found}")
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as reason:
        found = f"byte 0x{reason.object[reason.start]:02x} at {reason.start}"
        encoding = "utf-16" if reason.object[:2] in UTF_16 else "latin1"
        raise DataError(
            f"{path}: expected UTF-8, found {found}; convert it, as with iconv -f {encoding} -t utf-8"
        ) from None
    except OSError as reason:
        raise DataError(
            f"{path}: cannot be read: {reason.strerror}; give another path, or this user the right to read it"
        ) from None


def tokenize(documents, tokenizer):
    """All documents as one row of ids, each behind an <|endoftext|>."""
    eot = np.array([tokenizer.eot], tokenizer.dtype)
    return np.concatenate([part for text in documents for part in (eot, tokenizer.encode_array(text))])


def first_ids(shards, n):
    """The first n ids of some shards, or all if they have fewer, as an array in memory."""
    parts = []
    for shard in shards:
        parts.append(shard[:n])
        n -= len(parts[-1])
        if not n:
            break
    return np.concatenate(parts)


def text_of(ids, tokenizer):
    """The bytes of held-out ids without <|endoftext|>, at least one; the first id is never scored."""
    text = tokenizer.decode_bytes(ids[ids != tokenizer.eot])
    if len(ids) < 2 or not text:
        raise DataError(f"held-out text: {len(ids)} tokens and {len(text)} bytes: too few to validate on")
    return text
