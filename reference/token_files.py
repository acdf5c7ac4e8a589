"""Token ids out of files: .npy, .bin, .txt; and of a text, by GPT-2's tokenizer, which is minigpt's."""

import re
from pathlib import Path

import numpy as np

import minigpt
from reference.bad_input import BadInput
from reference.npy import read_npy

SHARD_MAGIC, LLAMA_MAGIC = 20240520, 20240801  # llm.c's token shards
HEADER_BYTES = 1024  # 256 int32, then uint16


def ids_of(path):
    """The ids in a file: .npy of integers; .bin of uint16, llm.c's shards too; .txt of numbers."""
    path, read = Path(path), {".npy": read_ids, ".bin": read_bin, ".txt": read_txt}
    if path.suffix not in read:
        raise BadInput(f"{path}: tokens are read from .npy, .bin or .txt: found {path.suffix or 'no ending'}")
    if not path.is_file():
        raise BadInput(f"{path}: no such file")
    return read[path.suffix](path).astype(np.int64)


def read_ids(path):
    ids = read_npy(path)
    if ids.dtype.kind not in "iu" or ids.ndim not in (1, 2):
        raise BadInput(f"{path}: expected integers (n) or (B, T + 1): found {ids.dtype} {ids.shape}")
    return ids


def read_bin(path):
    content = path.read_bytes()
    magic, version, count = np.frombuffer(content[:12].ljust(12, b"\0"), "<i4").tolist()
    if magic == LLAMA_MAGIC:
        raise BadInput(f"{path}: expected GPT-2's tokens: found a shard of Llama's, magic {magic}")
    if magic == SHARD_MAGIC:
        content = content[HEADER_BYTES:]
        if (version, 2 * count) != (1, len(content)):
            raise BadInput(
                f"{path}: the header says version {version} and {count} tokens, expected version 1 and "
                f"{len(content) // 2}, which are there: is the shard cut off?"
            )
    if len(content) % 2:
        raise BadInput(f"{path}: expected uint16 tokens: found an odd number of bytes, {len(content)}")
    return np.frombuffer(content, "<u2")


def read_txt(path):
    words = path.read_text(encoding="utf-8", errors="replace").replace(",", " ").split()
    if wrong := next((word for word in words if not re.fullmatch(r"[0-9]{1,9}", word)), None):
        raise BadInput(f"{path}: expected ids, whole numbers with spaces between: found {wrong[:20]!r}")
    return np.array(words, np.int64)


def ids_of_text(path):
    """A text's ids by GPT-2's tokenizer, which is minigpt's."""
    try:
        return np.array(minigpt.Tokenizer.gpt2().encode(Path(path).read_text(encoding="utf-8")), np.int64)
    except UnicodeDecodeError as reason:
        raise BadInput(f"{path}: expected UTF-8: byte {reason.start} is not") from None
