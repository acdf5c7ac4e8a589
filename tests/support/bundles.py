"""A writer of TensorFlow's tensor bundles, for big and for faulty ones; a test holds it to TensorFlow's."""

import struct

import ml_dtypes
import numpy as np
from google_crc32c import value as crc32c

KINDS = {"float32": 1, "float64": 2, "int32": 3, "int64": 9, "bfloat16": 14, "float16": 19}
BLOCK_BYTES = 262_144
RESTART_EVERY = 16
MAGIC = 0xDB4775248B80FB57


def write_bundle(prefix, arrays, n_shards=1, block_bytes=BLOCK_BYTES, **changes):
    """Write PREFIX.index and its data files; array i goes to file i % n_shards. Changes: see entries_of."""
    data = [[] for _ in range(n_shards)]
    for place, array in enumerate(arrays.values()):
        data[place % n_shards].append(np.ascontiguousarray(array))
    prefix.parent.mkdir(parents=True, exist_ok=True)
    for shard, parts in enumerate(data):
        with open(f"{prefix}.data-{shard:05d}-of-{n_shards:05d}", "wb") as file:
            for part in parts:
                file.write(part.reshape(-1).view(np.uint8))
    entries = entries_of(arrays, n_shards, changes)
    prefix.with_name(prefix.name + ".index").write_bytes(table(entries, block_bytes))


def entries_of(arrays, n_shards, changes):
    """key -> value of the index, sorted. changes: header=bytes, or name=dict of fields to replace."""
    places, entries = [0] * n_shards, {}
    for place, (name, array) in enumerate(arrays.items()):
        shard, content = place % n_shards, np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        fields = {
            1: KINDS[array.dtype.name],
            2: b"".join(field(2, field(1, size)) for size in array.shape),
            3: shard,
            4: places[shard],
            5: array.nbytes,
            6: struct.pack("<I", masked(crc32c(content.tobytes()))),
        }
        places[shard] += array.nbytes
        entries[name.encode()] = message(fields | changes.get(name, {}))
    header = changes.get("header", field(1, n_shards) + field(3, field(1, 1)))
    return {b"": header, **dict(sorted(entries.items()))}


def message(fields):
    """BundleEntryProto: zeros are left out, but for an empty shape, which stands there."""
    return b"".join(field(number, value) for number, value in fields.items() if value != 0)


def field(number, value):
    """A field: a varint for int, fixed32 for the checksum (6), bytes for the rest."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if number == 6:
        return varint(number << 3 | 5) + value
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(number):
    content = b""
    while number >= 128:
        content, number = content + bytes([number & 127 | 128]), number >> 7
    return content + bytes([number])


def masked(crc):
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32


def table(entries, block_bytes=BLOCK_BYTES, kind=0):
    """A sorted string table. kind: the kind of compression that blocks claim to have."""
    written, index, block, items = b"", Block(1), Block(), list(entries.items())
    for i, (key, value) in enumerate(items):
        block.add(key, value)
        if block.size() >= block_bytes or i == len(items) - 1:
            following = items[i + 1][0] if i < len(items) - 1 else None
            index.add(separator(key, following), handle(len(written), block.size()))
            written, block = written + sealed(block.content(), kind), Block()
    metaindex = handle(len(written), Block().size())
    written += sealed(Block().content())
    footer = metaindex + handle(len(written), index.size())
    return written + sealed(index.content()) + footer.ljust(40, b"\0") + struct.pack("<Q", MAGIC)


class Block:
    """Entries with shared beginnings, then the places where a key stands in full."""

    def __init__(self, restart_every=RESTART_EVERY):
        self.restart_every, self.entries, self.restarts = restart_every, bytearray(), [0]
        self.before, self.since_restart = b"", 0

    def add(self, key, value):
        if self.since_restart == self.restart_every:
            self.restarts.append(len(self.entries))
            self.before, self.since_restart = b"", 0
        shared = next((i for i in range(len(key)) if key[i : i + 1] != self.before[i : i + 1]), len(key))
        lengths = varint(shared) + varint(len(key) - shared) + varint(len(value))
        self.entries += lengths + key[shared:] + value
        self.before, self.since_restart = key, self.since_restart + 1

    def size(self):
        return len(self.entries) + 4 * len(self.restarts) + 4

    def content(self):
        return bytes(self.entries) + struct.pack(
            f"<{len(self.restarts) + 1}I", *self.restarts, len(self.restarts)
        )


def sealed(content, kind=0):
    """A block with its kind and checksum."""
    content += bytes([kind])
    return content + struct.pack("<I", masked(crc32c(content)))


def handle(start, size):
    return varint(start) + varint(size)


def separator(key, following):
    """A short key that is not below key, and below the one that follows: what LevelDB writes in the index."""
    if following is None:
        place = next((i for i in range(len(key)) if key[i] != 255), None)
        return key if place is None else key[:place] + bytes([key[place] + 1])
    place = next((i for i in range(min(len(key), len(following))) if key[i] != following[i]), None)
    if place is not None and key[place] < 255 and key[place] + 1 < following[place]:
        return key[:place] + bytes([key[place] + 1])
    return key


def openai_names(params):
    """Parameters under OpenAI's names and shapes."""
    renamed = {}
    for name, array in params.items():
        layer, kind = name.rsplit(".", 1)
        layer = layer.replace("h.", "h", 1) if layer.startswith("h.") else layer
        ending = {"bias": "/b", "weight": "/g" if "ln_" in layer else "/w"}[kind]
        matrix = array.ndim == 2 and layer not in ("wte", "wpe")
        path = "model/" + layer.replace(".", "/") + ("" if layer in ("wte", "wpe") else ending)
        renamed[path] = array[None] if matrix else array
    return renamed


def as_bfloat16(array):
    return array.astype(ml_dtypes.bfloat16)
