"""Tokenizers as files: minigpt's own list of merges, GPT-2's vocab.bpe, tiktoken's ranks, tokenizer.json.

A tokenizer read from a file is (merges, ids, special), the arguments of Tokenizer.
"""

from pathlib import Path

from minigpt.errors import DataError
from minigpt.ours import refuse_inputs, refuse_others
from minigpt.promises import STATE, checked_record, vouches
from minigpt.vocabularies import hugging_face, merges_file, rank_file

TOKENIZER = "tokenizer.json"  # what a checkpoint has, and vouches for
IN_A_FOLDER = (TOKENIZER, "tokenizer.bpe", "vocab.bpe")  # the first of these that is there is read
KINDS = {".json": hugging_face, ".tiktoken": rank_file}  # by a name's ending; all else is merges_file


def read(path):
    """(merges, ids, special) of a file, whose first bytes tell its format, or of the file in a folder."""
    path = file_of(path)
    content = read_bytes(path)
    if content.startswith(merges_file.MARK):
        return merges_file.read(content, path)
    if content.startswith(merges_file.GPT2_MARK):
        return merges_file.read_gpt2(content, path)
    if content.lstrip()[:1] == b"{":
        return hugging_face.read(content, path)
    if rank_file.is_line(content.split(b"\n", 1)[0]):
        return rank_file.read(content, path)
    raise DataError(
        f"{path}, line 1: expected {merges_file.MARK.decode()!r}... or {merges_file.GPT2_MARK.decode()!r}... "
        f"(a list of merges), '{{' (tokenizer.json), or a base64 token and its rank (tiktoken); "
        f"found {content[:60]!r}"
    )


def write(tokenizer, path):
    """Write a tokenizer in the format that the name's ending stands for; as refuse_lost lets it."""
    refuse_lost(path)
    path = as_path(path)
    KINDS.get(path.suffix, merges_file).write(tokenizer, path)


def refuse_lost(path, inputs=()):
    """A DataError if a tokenizer written to path would replace anything but one of the same format.

    inputs: files that are read, which are not replaced in any case.
    """
    path = as_path(path)
    if not path.name:
        raise DataError(f"path: expected the name of a tokenizer's file, found {str(path)!r}")
    for file, is_ours in KINDS.get(path.suffix, merges_file).places(path):
        refuse_inputs(file, inputs, DataError)
        refuse_others(file, is_ours, DataError)


def file_of(path):
    """path, or the tokenizer file in the folder that it names. Raises DataError.

    A checkpoint's must be the one that its state.json vouches for: another would make other text of the same
    ids, without a word. Raises CheckpointError.
    """
    path = as_path(path)
    if not path.is_dir():
        if path.name == TOKENIZER and vouches(path.parent):
            checked_record(path.parent, (TOKENIZER,))
        return path
    if (path / STATE).is_file():
        checked_record(path, (TOKENIZER,))
    for name in IN_A_FOLDER:
        if (path / name).is_file():
            return path / name
    raise DataError(f"{path}: expected a tokenizer in this folder: {', '.join(IN_A_FOLDER)}; found none")


def as_path(path):
    """path as a Path, or a DataError if it can name no file."""
    try:
        if "\0" in str(path) or not str(path):
            raise TypeError
        return Path(path)
    except TypeError:
        raise DataError(f"path: expected the name of a tokenizer's file, found {path!r}") from None


def read_bytes(path):
    """A file's content."""
    try:
        if path.exists() and not path.is_file():
            raise DataError(f"{path}: expected a saved tokenizer, found a pipe, socket or device")
        return path.read_bytes()
    except OSError as reason:
        raise DataError(f"{path}: expected a saved tokenizer: {reason.strerror}") from None
