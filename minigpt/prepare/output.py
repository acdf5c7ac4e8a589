"""Tokens to shards in llm.c's format, such that a kill at any moment costs some seconds of work and no byte.

Tokens go to the end of unfinished.bin. Every few seconds, and when a shard is full, the disk is made to have
them, and only then the journal says so. A full shard gets its header and its name; the journal hears of it
after that. Whoever begins again cuts unfinished.bin back to what the journal says and goes on from there.
"""

import os
import time

import numpy as np

from minigpt.disk import describe, write_all
from minigpt.errors import DataError
from minigpt.prepare import journal
from minigpt.shards import HEADER_BYTES, HEADER_INTS, MAGIC, VERSION
from minigpt.system import BYTES, flush, sync

EVERY = 5  # seconds between journals
TOKEN_BYTES = 2
COPY = 2**24  # bytes that are copied at a time


class Output:
    """The shards of a folder. names(i) is the name of shard i and the split it belongs to."""

    def __init__(self, folder, settings, names, shard_tokens):
        self.folder, self.settings, self.names, self.shard_tokens = folder, settings, names, shard_tokens
        self.path = folder / journal.UNFINISHED
        self.state = journal.load(folder, settings)
        journal.save(folder, settings, self.state)
        self.file = None
        self.saved = time.monotonic()
        if not self.state.done:
            self._cut_back()

    def add(self, file, stop, encoded):
        """Write what a unit gave; it ends at `stop` of the input number `file`."""
        state, tokens = self.state, encoded.tokens[self.state.skip :]
        left_to_skip = max(0, state.skip - len(encoded.tokens))
        while len(tokens) > (room := self.shard_tokens - state.unfinished):
            self._write(tokens[:room])
            state.skip += room
            self._finish_shard()
            tokens = tokens[room:]
        self._write(tokens)
        state.file, state.offset, state.skip = file, stop, left_to_skip
        state.documents += encoded.documents
        state.skipped += encoded.skipped
        state.text_bytes += encoded.text_bytes
        if time.monotonic() - self.saved > EVERY:
            self.save()

    def save(self):
        """Make the disk have all tokens, then let the journal say so."""
        if self.file is not None:
            sync(self.file)
        journal.save(self.folder, self.settings, self.state)
        self.saved = time.monotonic()

    def finish(self, holds_out):
        """The last shard. holds_out: if there were but one, a tenth of it becomes a shard to validate on."""
        if not self.state.done:
            if holds_out and not self.state.shards:
                self._split()
            elif self.state.unfinished:
                self._close_shard()
            self.state.done = True
            self.save()
        self.path.unlink(missing_ok=True)  # after a split it is still there

    def close(self):
        """Let go of the unfinished shard."""
        if self.file is not None:
            os.close(self.file)
            self.file = None

    def _cut_back(self):
        """Open the unfinished shard with as many tokens as the journal knows of."""
        n, finished = self.state.unfinished, self.folder / self.names(len(self.state.shards))[0]
        if n and not self.path.exists() and finished.exists():
            # killed after the shard had got its name, and before the journal knew
            os.replace(finished, self.path)
        self.file = os.open(self.path, os.O_RDWR | os.O_CREAT | BYTES, 0o666)
        expected, found = HEADER_BYTES + TOKEN_BYTES * n, os.fstat(self.file).st_size
        if n and found < expected:
            raise DataError(
                f"{self.path}: expected at least {expected:,} bytes, as the journal says, found {found:,}; "
                "it was cut off: begin anew with another --out"
            )
        os.ftruncate(self.file, expected)
        os.lseek(self.file, 0, os.SEEK_END)

    def _write(self, tokens):
        write_all(self.file, np.ascontiguousarray(tokens, "<u2"))
        self.state.unfinished += len(tokens)

    def _finish_shard(self):
        """Close a full shard, let the journal know, and begin the next."""
        self._close_shard()
        self.save()
        self._cut_back()

    def _close_shard(self):
        """Header, disk, name; in this order."""
        n, (name, split) = self.state.unfinished, self.names(len(self.state.shards))
        os.lseek(self.file, 0, os.SEEK_SET)
        write_all(self.file, header(n))
        sync(self.file)
        self.close()
        os.replace(self.path, self.folder / name)
        flush(self.folder)
        self._note(name, split, n)

    def _note(self, name, split, n):
        self.state.shards.append({"name": name, "split": split, "tokens": n, **describe(self.folder / name)})
        self.state.unfinished = 0

    def _split(self):
        """What would be one shard, as one for validation and one to train on. Leaves the unfinished one."""
        n = self.state.unfinished
        if n < 2:
            raise DataError(
                f"{self.folder}: expected at least 2 tokens, one to validate and one to train on, found {n}; "
                "give more text"
            )
        held_out, start = max(1, n // 10), HEADER_BYTES
        for count in (held_out, n - held_out):
            name, split = self.names(len(self.state.shards))
            copy_shard(self.file, start, count, self.folder / name)
            self._note(name, split, count)
            start += TOKEN_BYTES * count
        flush(self.folder)
        self.close()


def header(n_tokens):
    """The 1,024 bytes before the tokens of a shard: llm.c, dev/data/data_common.py, write_datafile()."""
    numbers = np.zeros(HEADER_INTS, "<i4")
    numbers[:3] = MAGIC, VERSION, n_tokens
    return numbers.tobytes()


def copy_shard(source, start, n_tokens, path):
    """A shard of tokens that stand in another file; on the disk when this returns."""
    target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | BYTES, 0o666)
    try:
        write_all(target, header(n_tokens))
        end = start + TOKEN_BYTES * n_tokens
        os.lseek(source, start, os.SEEK_SET)
        for place in range(start, end, COPY):
            write_all(target, os.read(source, min(COPY, end - place)))
        sync(target)
    finally:
        os.close(target)
