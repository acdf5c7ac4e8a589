"""Token shards: files of token ids, as llm.c, nanoGPT and build-nanogpt lay them out."""

import contextlib
import glob
import hashlib
import io
import mmap
import os
import stat
import time
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from tokenize import TokenError
from typing import NamedTuple

import numpy as np

from minigpt.config import whole_between
from minigpt.errors import ConfigError, DataError
from minigpt.kinds import StrPath
from minigpt.strangers import what_is

# llm.c: 256 int32 (magic, version, number of tokens, zeros), then uint16 tokens
# karpathy/llm.c, dev/data/data_common.py, write_datafile()
MAGIC = 20240520
VERSION = 1
HEADER_INTS = 256
HEADER_BYTES = 4 * HEADER_INTS

TOKEN = np.dtype("<u2")  # in all three layouts
CHUNK = 2**18  # tokens that are checked at a time: half a megabyte, which stays in the cache
BLOCK, BLOCKS = 4096, 16  # tokens in a block, blocks of a shard that its fingerprint is taken of
TICK = 20_000_000  # nanoseconds in which a file's time of change may stand still, several times over
AGAIN = "it was cut off or damaged: fetch it, or make it, again"


class TokenShards(Sequence):
    """The shards that a path, a glob, or a list of these names, in the order of their names; all checked.

    shards[i] is one of len(shards) shards: it has a length, slices of it are arrays, and ids() is all of it
    as an array that stays in the file. paths and counts (of tokens) say the same for all shards, n_tokens is
    how many tokens there are in all.

    n_vocab: every token must be below it; None leaves tokens unread. format: "raw" for nanoGPT's files
    without a header; None finds out which of the two others a file has.

    Raises DataError: path, expected, found, what to do. ConfigError: n_vocab or format is none.
    """

    def __init__(
        self, path_or_glob: StrPath | Iterable[StrPath], n_vocab: int | None = None, format: str | None = None
    ) -> None:
        if format not in (None, "raw"):
            raise ConfigError(f'format must be "raw" or None: found {format!r}')
        if n_vocab is not None:
            n_vocab = whole_between("n_vocab", n_vocab, 1)
        self.paths = tuple(matching_files(path_or_glob))
        self._shards = [open_shard(path, n_vocab, format) for path in self.paths]
        self.counts = tuple(map(len, self._shards))
        self.n_tokens = sum(self.counts)

    def __len__(self) -> int:
        return len(self._shards)

    def __getitem__(self, place):
        return self._shards[place]

    def fingerprint(self) -> str:
        """A SHA-256 of all counts, and of blocks of tokens from the first to the last of each shard."""
        digest = hashlib.sha256()
        for shard in self:
            last = max(0, len(shard) - BLOCK)
            digest.update(f"{len(shard)} tokens\n".encode())
            for start in sorted({i * last // (BLOCKS - 1) for i in range(BLOCKS)}):
                digest.update(shard[start : start + BLOCK])
        return digest.hexdigest()


class Identity(NamedTuple):
    """What shows that a file is not the one it was."""

    device: int
    inode: int
    size: int
    written: int  # when, in nanoseconds


class Shard:
    """The ids of one file. It is looked at again whenever ids are asked for, and must not have changed."""

    def __init__(self, path, offset, n_tokens, identity):
        self.path, self.offset, self.n_tokens, self.identity = path, offset, n_tokens, identity

    def __len__(self):
        return self.n_tokens

    def __getitem__(self, place):
        """Some ids, copied: read, not mapped, so that other threads go on while the disk is waited for."""
        if not isinstance(place, slice):
            return self.ids()[place]
        start, stop, stride = place.indices(len(self))
        if stride != 1:
            return self.ids()[place].copy()
        ids = np.empty(max(0, stop - start), TOKEN)
        with opened(self.path) as file:
            self.refuse_change(identity_of(file))
            self.read_into(file, start, ids)
        return ids

    def __array__(self, dtype=None, copy=None):
        return np.array(self.ids(), dtype, copy=copy)

    def ids(self):
        """All ids, as a read-only array that lies in the file.

        Only one that has the size it had may be mapped: reading where no file is any more kills a process.
        """
        with opened(self.path) as file:
            self.refuse_change(identity_of(file))
            mapped = mmap.mmap(file.fileno(), self.identity.size, access=mmap.ACCESS_READ)
        return np.frombuffer(mapped, TOKEN, self.n_tokens, self.offset)

    def read_into(self, file, first, ids):
        """Fill ids with those from the first on; a DataError if the file has shrunk."""
        file.seek(self.offset + TOKEN.itemsize * first)
        if file.readinto(ids) < ids.nbytes:
            self.refuse_change(identity_of(file))

    def refuse_change(self, found):
        """A DataError if the file is another one, or was written to."""
        expected = self.identity
        if found == expected:
            return
        if found.size != expected.size:
            what = f"{expected.size:,} bytes, found {found.size:,}"
        elif (found.device, found.inode) != (expected.device, expected.inode):
            what = "the file that was there, found another in its place"
        else:
            seconds = (found.written - expected.written) / 1e9
            what = f"it as it was, found that it was written to {seconds:.3f} s later"
        raise DataError(
            f"{self.path}: changed since it was opened: expected {what}; start again with files at rest"
        )


def open_shard(path, n_vocab, format):
    """A Shard of a file, after checking all that can be."""
    with opened(path) as file:
        identity = identity_of(file)
        let_the_clock_tick(identity)
        head = file.read(HEADER_BYTES)
        shard = Shard(path, *layout_of(path, head, identity.size, format), identity)
        if n_vocab is not None and n_vocab < 2 ** (8 * TOKEN.itemsize):
            check_tokens(file, shard, n_vocab)
        return shard


def layout_of(path, head, size, format):
    """(bytes before the first token, number of tokens) of a file, by its first bytes and its size."""
    if size == 0:
        refuse(path, "token ids", "an empty file", AGAIN)
    if format == "raw":
        return layout_of_raw(path, head, size)
    if head[:4] == MAGIC.to_bytes(4, "little"):
        return layout_of_llmc(path, head, size)
    if head.startswith(np.lib.format.MAGIC_PREFIX):
        return layout_of_npy(path, head, size)
    found, advice = what_is(head, size) or (
        f"bytes {head[:4].hex(' ')}",
        'for uint16 tokens without a header, as nanoGPT writes them, say format="raw" (--data-format raw)',
    )
    refuse(path, f"a token shard, which begins with {MAGIC} as an int32, or an .npy file", found, advice)


def layout_of_llmc(path, head, size):
    """The layout of llm.c: a header that counts the tokens, and the tokens."""
    if len(head) < HEADER_BYTES:
        refuse(path, f"a header of {HEADER_BYTES} bytes", f"{size} bytes in all", AGAIN)
    version, n_tokens = np.frombuffer(head, "<i4")[1:3].tolist()
    if version != VERSION:
        refuse(path, f"version {VERSION} in its header", f"version {version}", "make it again as llm.c's")
    check_size(path, n_tokens, HEADER_BYTES, size)
    return HEADER_BYTES, n_tokens


def layout_of_raw(path, head, size):
    """The layout of nanoGPT: tokens and nothing else."""
    if known := what_is(head, size):
        refuse(path, "uint16 tokens without a header", *known)
    if size % TOKEN.itemsize:
        refuse(path, f"an even number of bytes, {TOKEN.itemsize} a token", f"{size:,} bytes", AGAIN)
    return 0, size // TOKEN.itemsize


def layout_of_npy(path, head, size):
    """The layout of build-nanogpt: an array as np.save writes it."""
    file = io.BytesIO(head)
    try:
        version = np.lib.format.read_magic(file)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        with warnings.catch_warnings(action="ignore"):  # of headers that Python 2 wrote
            shape, fortran, dtype = read[version](file)
    except (ValueError, KeyError, TokenError) as reason:  # NumPy reads it by Python's own tokenizer
        refuse(path, "the header of an .npy file", f"one that is not readable ({reason})", AGAIN)
    if (dtype, len(shape), fortran) != (TOKEN, 1, False):
        found = f"{dtype} of shape {shape}" + (" in Fortran's order" if fortran else "")
        refuse(path, "uint16 tokens in one row", found, "save ids.astype('<u2').ravel() in its place")
    check_size(path, shape[0], file.tell(), size)
    return file.tell(), shape[0]


def check_size(path, n_tokens, offset, size):
    """A DataError unless a file is as long as its own header says."""
    if n_tokens < 1:
        refuse(path, "at least 1 token", f"a header that counts {n_tokens:,}", AGAIN)
    expected = offset + TOKEN.itemsize * n_tokens
    if size != expected:
        wanted = f"{expected:,} bytes (a header of {offset}, then {n_tokens:,} tokens)"
        difference = f"{abs(size - expected):,} too {'many' if size > expected else 'few'}"
        refuse(path, wanted, f"{size:,}, {difference}", AGAIN)


def check_tokens(file, shard, n_vocab):
    """A DataError that names the first token beyond the vocabulary; memory stays small."""
    room = np.empty(min(CHUNK, len(shard)), TOKEN)
    for first in range(0, len(shard), CHUNK):
        ids = room[: len(shard) - first]
        shard.read_into(file, first, ids)
        if ids.max() >= n_vocab:
            place = int(np.argmax(ids >= n_vocab))
            refuse(
                shard.path,
                f"tokens of a vocabulary of {n_vocab:,}",
                f"{ids[place]} at position {first + place:,} of {len(shard):,}",
                "give the tokenizer that the shard was made with, or fetch the shard again",
            )


def matching_files(path_or_glob):
    """The paths that a path, a glob or a list of these stands for, sorted by name within each."""
    if isinstance(path_or_glob, (list, tuple)) and path_or_glob:
        return [path for one in path_or_glob for path in matching_files(one)]
    if not isinstance(path_or_glob, (str, Path)):
        raise DataError(f"path: expected a str, such as 'data/*_train_*.bin', found {path_or_glob!r}")
    name = str(path_or_glob)
    if os.path.lexists(name):
        return [Path(name)]
    paths = [] if "\0" in name else sorted(glob.glob(name, recursive=True))
    if not paths:
        raise DataError(f"{name}: expected a file or a glob of files, found none; check the path")
    return [Path(path) for path in paths]


@contextlib.contextmanager
def opened(path):
    """with opened(path) as file: a DataError says why it cannot be opened, or not be read to the end."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            refuse(path, "a file", "a folder", f"give the files in it, '{path}/*.bin'")
        if not stat.S_ISREG(mode):
            refuse(path, "a file", "a pipe, socket or device", "write the tokens to a file first")
        with open(path, "rb", buffering=0) as file:
            yield file
    except FileNotFoundError:
        link = f"a link to {os.readlink(path)}, which is not there" if path.is_symlink() else "no such file"
        refuse(path, "a token shard", link, "check the path, or fetch the file again")
    except OSError as reason:
        refuse(path, "a file that can be read", reason.strerror, "check its permissions")


def identity_of(file):
    """The Identity of an open file, now."""
    status = os.fstat(file.fileno())
    return Identity(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def let_the_clock_tick(identity):
    """Wait, for a file written only now, until another change would show in its time of change."""
    age = time.time_ns() - identity.written
    if 0 <= age < TICK:
        time.sleep((TICK - age) / 1e9)


def refuse(path, expected, found, advice):
    """Raise the DataError of a file that is not as it must be."""
    raise DataError(f"{path}: expected {expected}, found {found}; {advice}")
