"""Arrays that lie in a file: mapped, read about a megabyte at a time, so that no model is in memory twice."""

import math
import mmap
import os
import stat
from collections.abc import Callable
from typing import NamedTuple

import ml_dtypes
import numpy as np

from minigpt.disk import as_path, forbidden
from minigpt.errors import CheckpointError

PIECE = 2**20  # bytes that are looked at together; a multiple of the page
# A list of arrays takes 25 times its bytes as Python's objects. LIST_ROOM: so many bytes it may always have
# (the longest of gpt2-xl has 75,000); more of them only if they go LIST_SHARE times into the file, so that
# memory stays below twice the file.
LIST_ROOM, LIST_SHARE = 2**18, 16
AGAIN = "it was cut off or damaged: fetch it, or make it, again"


class MappedFile:
    """A file as an array of bytes that the system reads when they are looked at.

    To look at bytes that are gone from the file since it was opened ends the process with SIGBUS, as with
    every mapped file: refuse_cut(), asked before each piece, leaves no more than a moment for that.
    """

    def __init__(self, path):
        self.path = as_path(path)
        with opened(self.path) as file:
            self.size = os.fstat(file.fileno()).st_size
            if self.size == 0:
                refuse(path, "weights", "an empty file", AGAIN)
            self._map = mmap.mmap(file.fileno(), self.size, access=mmap.ACCESS_READ)
        self.content = np.frombuffer(self._map, np.uint8)

    def refuse_cut(self):
        """Raise CheckpointError if the file has become shorter."""
        if (size := self._map.size()) < self.size:
            refuse(self.path, f"{self.size:,} bytes, as at first", f"{size:,}", "something cut it off")

    def release(self, start, stop):
        """Give back the memory of pages before stop; looked at again, they are read again."""
        if hasattr(mmap, "MADV_DONTNEED"):
            start = start // mmap.PAGESIZE * mmap.PAGESIZE
            self._map.madvise(mmap.MADV_DONTNEED, start, stop - start)


class Checksum(NamedTuple):
    """What the bytes of an array must add up to: update(bytes, value) from start on must end at expected."""

    update: Callable
    expected: int
    start: int = 0


class Stored(NamedTuple):
    """An array in a file, its numbers not read yet. The bytes must lie in the file.

    transposed: the file holds the array the other way round than its user wants it.
    """

    file: MappedFile
    name: str
    dtype: np.dtype
    shape: tuple
    offset: int
    checksum: Checksum | None = None
    transposed: bool = False

    @property
    def nbytes(self):
        """Its size in the file."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def wanted_shape(self):
        """Its shape as the model has it."""
        return self.shape[::-1] if self.transposed else self.shape


def rows_at_once(stored):
    """How many rows of the first axis make up about a megabyte."""
    return max(1, PIECE // max(1, math.prod(stored.shape[1:]) * stored.dtype.itemsize))


def rows(stored, step=None):
    """Yield (place of the first, rows) of an array from its first axis, step at a time.

    Raises CheckpointError at the end if the checksum of all is not as it must be.
    """
    shape = stored.shape or (1,)
    row_bytes = math.prod(shape[1:]) * stored.dtype.itemsize
    step = step or rows_at_once(stored)
    value = stored.checksum.start if stored.checksum else None
    for first in range(0, shape[0], step):
        last = min(shape[0], first + step)
        start, stop = stored.offset + first * row_bytes, stored.offset + last * row_bytes
        stored.file.refuse_cut()
        content = stored.file.content[start:stop]
        if stored.checksum:
            value = stored.checksum.update(content, value)
        yield first, content.view(stored.dtype).reshape(last - first, *shape[1:])
        stored.file.release(start, stop)
    if stored.checksum and value != stored.checksum.expected:
        refuse(
            f"{stored.file.path}: {stored.name}",
            f"a checksum of {stored.checksum.expected:#010x}",
            f"{value:#010x}",
            AGAIN,
        )


def fill(out, stored):
    """Read an array into another of its wanted shape, converting its numbers."""
    target = out.T if stored.transposed else out
    target = target.reshape(stored.shape or (1,))
    for first, part in rows(stored):
        target[first : first + len(part)] = converted(f"{stored.file.path}: {stored.name}", part, out.dtype)


def converted(where, numbers, dtype):
    """numbers in another type, rounded to the nearest. Raises CheckpointError on one that it cannot hold.

    Infinities and NaN stay what they are.
    """
    if np.can_cast(numbers.dtype, dtype):
        return numbers.astype(dtype, copy=False)
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = numbers.astype(dtype)
    if (lost := np.isfinite(numbers) & ~np.isfinite(rounded)).any():
        found, largest = numbers[lost][0], float(ml_dtypes.finfo(dtype).max)
        refuse(where, f"numbers within {dtype.name}'s {largest:.4g}", f"{found:.4g}", "take a wider type")
    return rounded


def read(stored):
    """The array, in memory of its own."""
    out = np.empty(stored.wanted_shape, stored.dtype)
    fill(out, stored)
    return out


def same(one, other):
    """Whether two arrays of one shape hold the same numbers; both are read to the end, checksums and all."""
    step = rows_at_once(one)
    pairs = zip(rows(one, step), rows(other, step), strict=True)
    return all([np.array_equal(mine, yours, equal_nan=True) for (_, mine), (_, yours) in pairs])


def opened(path):
    """A file open for reading, or a CheckpointError that says why it is not."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            refuse(path, "a file", "a folder", "give one of the files in it")
        if not stat.S_ISREG(mode):
            refuse(path, "a file", "a pipe, socket or device", "write the weights to a file first")
        return open(path, "rb", buffering=0)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file; check the path") from None
    except PermissionError as reason:
        raise forbidden(path, reason) from None
    except (OSError, ValueError) as reason:
        if isinstance(reason, CheckpointError):
            raise
        raise CheckpointError(f"{path}: not readable: {reason}") from None


def check_room(file, what, expected):
    """A CheckpointError unless a file is exactly as long as it says itself."""
    if file.size < expected:
        found = f"{file.size:,}, {expected - file.size:,} too few"
    elif file.size > expected:
        found = f"{file.size:,}, {file.size - expected:,} too many"
    else:
        return
    refuse(file.path, f"{expected:,} bytes ({what})", found, AGAIN)


def refuse(where, expected, found, advice):
    """Raise the CheckpointError of something that is not as it must be."""
    raise CheckpointError(f"{where}: expected {expected}, found {found}; {advice}")
