"""Files that are given for token shards and are something else: what they are, and what helps."""

import struct

# prefix -> what begins so, and what to do; too long to be the first tokens of a row of uint16 by chance
PREFIXES = {
    b"version https://git-lfs": ("a git-LFS pointer", "fetch what it stands for with `git lfs pull`"),
    b"\x1f\x8b\x08\x00": ("a gzip file", "unpack it first (gunzip)"),
    b"\x1f\x8b\x08\x08": ("a gzip file", "unpack it first (gunzip)"),
    b"\x28\xb5\x2f\xfd": ("a Zstandard file", "unpack it first (unzstd)"),
    b"\xfd7zXZ": ("an xz file", "unpack it first (unxz)"),
    b"BZh91AY": ("a bzip2 file", "unpack it first (bunzip2)"),
    b"PK\x03\x04": ("a zip file, such as .npz or PyTorch's .pt", "unpack it, or give the shards themselves"),
    b"PAR1": ("a parquet file", "make shards of it first with `minigpt data`"),
    b"\x93NUMPY": ("a NumPy file", 'leave out format="raw" (--data-format raw)'),
}

FEW = 32  # bytes; fewer may be text by chance

# the first int32 of llm.c's files; karpathy/llm.c: dev/data, train_gpt2.py, llmc/dataloader.h
LLMC = {
    20240520: ("a shard of llm.c", 'leave out format="raw" (--data-format raw)'),
    20240801: ("a llama-3 shard of llm.c (uint32 tokens)", "make shards with GPT-2's tokenizer"),
    20240326: ("a model of llm.c", "weights are no data: give them where weights are asked for"),
    20240327: ("a debug state of llm.c", "give token shards"),
    20240328: ("a tokenizer of llm.c", "give token shards"),
    20240522: ("an evaluation file of llm.c (HellaSwag)", "give token shards"),
    20240527: ("an optimizer state of llm.c", "give token shards"),
}


def what_is(head, size):
    """(what a file is, what to do) by its first bytes and its size, or None if they are not known."""
    for prefix, answer in PREFIXES.items():
        if head.startswith(prefix):
            return answer
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "an HTML page", "it is what a server sent in place of the file: fetch the file anew"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < size:
        return "a safetensors file", "weights are no data: give them where weights are asked for"
    if is_text(head):
        return f"text, {head[:40].decode(errors='replace')!r}", "make shards of it first with `minigpt data`"
    return of_llmc(head)


def of_llmc(head):
    """The same for the files of llm.c, in either order of bytes."""
    if len(head) < 4:
        return None
    if answer := LLMC.get(struct.unpack("<i", head[:4])[0]):
        return answer
    if answer := LLMC.get(struct.unpack(">i", head[:4])[0]):
        return f"{answer[0]} with swapped bytes", "write it on a little-endian machine, or swap its bytes"
    return None


def is_text(head):
    """Whether some bytes, which may end within a character, are text: UTF-8 without control characters."""
    if len(head) < FEW:
        return False
    try:
        text = head.decode()
    except UnicodeDecodeError as reason:
        if len(head) - reason.start > 3:
            return False
        text = head[: reason.start].decode()
    return all(character.isprintable() or character in "\t\n\r\f" for character in text)
