"""A sorted string table, LevelDB's file format: keys in order, each with its value, in checked blocks.

    data block ... data block, metaindex block, index block, footer

The footer, 48 bytes, says where the last two are. Each value in the index block says where a data block
is. All blocks are alike: entries, then the places (u32) where a key is written out in full, then how many.
An entry says how many bytes its key shares with the key before it: "h0/b", "h0/w" -> "h0/b", (3, "w").
Behind each block stand its kind of compression (a byte) and a checksum.
tensorflow/core/lib/io/format.cc, block.cc; google/leveldb, doc/table_format.md
"""

from minigpt.weights.crc32c import crc32c, unmasked
from minigpt.weights.protobuf import Malformed, varint

FOOTER = 48
MAGIC = 0xDB4775248B80FB57
TRAILER = 5  # kind of compression, checksum
SNAPPY = 1
KEY_LIMIT = 512  # bytes; a variable's name is shorter, and a short entry cannot make a long key without end


def is_table(tail):
    """Whether the last bytes of a file are those of a table."""
    return tail[-8:] == MAGIC.to_bytes(8, "little")


def entries(table):
    """Yield (key, value) of a whole table in bytes, in order. Raises Malformed."""
    if len(table) < FOOTER or not is_table(table):
        raise Malformed(f"no table's last 8 bytes are {table[-8:].hex(' ') or 'missing'}: it may be cut off")
    footer = table[-FOOTER:]
    start, size, at = handle(footer, 0)
    block(table, start, size)  # the metaindex: filters, which these tables do not have
    start, size, at = handle(footer, at)
    if any(footer[at:-8]):
        raise Malformed("between the footer's handles and its end, all bytes must be 0")
    before = None
    for _, place in block_entries(block(table, start, size)):
        start, size, _ = handle(place, 0)
        for key, value in block_entries(block(table, start, size)):
            if before is not None and key <= before:
                raise Malformed(f"key {key!r} does not come after {before!r}")
            yield key, value
            before = key


def handle(data, at):
    """(start of a block, its size, place after the handle)."""
    start, at = varint(data, at)
    size, at = varint(data, at)
    return start, size, at


def block(table, start, size):
    """The content of a block, after checking it."""
    stop = start + size
    if stop + TRAILER > len(table) - FOOTER:
        raise Malformed(f"a block at {start:,} of {size:,} bytes does not fit into {len(table):,}")
    kind, stored = table[stop], int.from_bytes(table[stop + 1 : stop + TRAILER], "little")
    found = crc32c(table[start : stop + 1])
    if found != unmasked(stored):
        raise Malformed(f"the block at {start:,} has checksum {found:#010x}, not {unmasked(stored):#010x}")
    if kind:
        name = "snappy" if kind == SNAPPY else f"kind {kind}"
        raise Malformed(f"the block at {start:,} is compressed ({name}), and released checkpoints are not")
    return table[start:stop]


def block_entries(content):
    """Yield (key, value) of a block."""
    n_restarts = int.from_bytes(content[-4:], "little")
    end = len(content) - 4 * (n_restarts + 1)
    if len(content) < 4 or end < 0:
        raise Malformed(f"a block of {len(content):,} bytes has no room for {n_restarts:,} restarts")
    at, key = 0, b""
    while at < end:
        shared, at = varint(content, at)
        unshared, at = varint(content, at)
        length, at = varint(content, at)
        middle, stop = at + unshared, at + unshared + length
        if shared > len(key) or stop > end or shared + unshared > KEY_LIMIT:
            raise Malformed(f"an entry after {key!r} does not fit into its block")
        key = key[:shared] + content[at:middle]
        yield key, content[middle:stop]
        at = stop
