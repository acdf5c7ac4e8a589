"""TensorFlow's checkpoints, "tensor bundles", without TensorFlow.

PREFIX.index is a sorted table from names to what the tensors are and where; PREFIX.data-00000-of-00001, one
or several, holds their numbers, end to end. tensorflow/core/protobuf/tensor_bundle.proto
"""

import math
import re
from typing import NamedTuple

import ml_dtypes
import numpy as np

from minigpt.weights.crc32c import crc32c, unmasked
from minigpt.weights.protobuf import BYTES, FIXED32, VARINT, Malformed, fields
from minigpt.weights.sstable import entries
from minigpt.weights.stored import AGAIN, Checksum, MappedFile, Stored, check_room, refuse
from minigpt.weights.strangers import refuse_damaged

# tensorflow/core/framework/types.proto
DTYPES = {
    1: np.dtype("<f4"), 2: np.dtype("<f8"), 3: np.dtype("<i4"), 4: np.dtype("u1"), 5: np.dtype("<i2"),
    6: np.dtype("i1"), 9: np.dtype("<i8"), 10: np.dtype("?"), 14: np.dtype(ml_dtypes.bfloat16),
    17: np.dtype("<u2"), 19: np.dtype("<f2"),
}  # fmt: skip
LITTLE = 0
FIELDS = {1: VARINT, 2: BYTES, 3: VARINT, 4: VARINT, 5: VARINT, 6: FIXED32}
OBJECT_GRAPH = b"_CHECKPOINTABLE_OBJECT_GRAPH"
INDEX_LIMIT = 2**20  # bytes; TensorFlow's own blocks have 2**18, gpt2-xl's index fills an eighth of one
SLICE = b"\0"  # what the key of a slice begins with
DIMENSIONS = 16
V1 = "a checkpoint of TensorFlow's older format V1"
SAVER = "save the variables by name with tf.compat.v1.train.Saver"


def open_bundle(index):
    """name -> Stored of all tensors of PREFIX.index, a Path. Raises CheckpointError."""
    file = MappedFile(index)
    if file.size > INDEX_LIMIT:
        refuse(index, f"an index of at most {INDEX_LIMIT:,} bytes", f"{file.size:,}", "is it the data file?")
    try:
        found = entries(file.content.tobytes())
        key, header = next(found, (None, b""))
        if key != b"":
            refuse(index, "the header of a tensor bundle under the key ''", repr(key), AGAIN)
        n_shards = checked_header(index, header)
        tensors = [checked_entry(index, name, message) for name, message in named(index, found)]
        return in_data_files(index, n_shards, tensors)
    except Malformed as reason:
        refuse_damaged(file, "the index of a tensor bundle", f"damage ({reason})")


def checked_header(index, message):
    """num_shards of a BundleHeaderProto {1 num_shards, 2 endianness, 3 version}, after refusing strangers."""
    found = list(fields(message))
    if any(kind != VARINT for number, kind, _ in found if number == 1):
        refuse(index, "a tensor bundle", V1, SAVER)
    header = {number: value for number, _, value in found}
    if header.get(2, LITTLE) != LITTLE:
        refuse(
            index,
            "little-endian numbers",
            "a bundle of a big-endian machine",
            "save it on a little-endian one",
        )
    return header.get(1, 0)


def named(index, found):
    """Yield (name, fields) of each BundleEntryProto, in the order of names."""
    for key, message in found:
        if key.startswith(SLICE):  # the tensor that it is a piece of has a key of its own
            continue
        if key == OBJECT_GRAPH:
            what = "an object graph, as tf.train.Checkpoint and Keras save it"
            refuse(index, "tensors by their variables' names, as OpenAI released them", what, SAVER)
        try:
            yield key.decode(), list(fields(message))
        except UnicodeDecodeError:
            raise Malformed(f"the name {key!r} is not UTF-8") from None


class Entry(NamedTuple):
    """What the index says of a tensor."""

    name: str
    dtype: np.dtype
    shape: tuple
    shard: int
    offset: int
    size: int
    crc: int


def checked_entry(index, name, message):
    """The Entry of a BundleEntryProto's fields.

    {1 dtype, 2 shape {2 dim {1 size}}, 3 shard_id, 4 offset, 5 size, 6 crc32c, 7 slices}; what is 0 is not
    written.
    """
    if any(number == 7 for number, _, _ in message):
        refuse(f"{index}: {name}", "a whole tensor", "one saved in slices", "save it in one piece")
    if wrong := [number for number, kind, _ in message if FIELDS.get(number, kind) != kind]:
        raise Malformed(f"{name}: field {wrong[0]} is of another kind")
    values = {number: value for number, _, value in message}
    shape, dtype = shape_of(values.get(2, b"")), DTYPES.get(values.get(1))
    if dtype is None:
        refuse(f"{index}: {name}", "plain numbers", f"TensorFlow's type {values.get(1)}", SAVER)
    size = values.get(5, 0)
    if size != math.prod(shape) * dtype.itemsize:
        raise Malformed(f"{name}: {dtype} of shape {shape} cannot have {size:,} bytes")
    return Entry(name, dtype, shape, values.get(3, 0), values.get(4, 0), size, unmasked(values.get(6, 0)))


def in_data_files(index, n_shards, found):
    """name -> Stored of entries, after checking that each data file is as long as they say."""
    files = {}
    for shard in sorted({entry.shard for entry in found}):
        if shard >= n_shards:
            raise Malformed(f"data file {shard} of {n_shards}")
        file = MappedFile(index.with_name(f"{index.stem}.data-{shard:05d}-of-{n_shards:05d}"))
        mine = [entry for entry in found if entry.shard == shard]
        check_room(file, f"{len(mine):,} tensors", max(entry.offset + entry.size for entry in mine))
        if sum(entry.size for entry in mine) > file.size:
            raise Malformed(f"some tensors of {file.path.name} lie in one place")
        files[shard] = file
    return {
        e.name: Stored(files[e.shard], e.name, e.dtype, e.shape, e.offset, Checksum(crc32c, e.crc))
        for e in found
    }


def shape_of(message):
    """The shape that a TensorShapeProto says: {2 dim {1 size}} -> (size, ...)."""
    dims = [value for number, kind, value in fields(message) if (number, kind) == (2, BYTES)]
    if len(dims) > DIMENSIONS:
        raise Malformed(f"a tensor of {len(dims):,} dimensions")
    sizes = [{number: value for number, _, value in fields(dim)}.get(1, 0) for dim in dims]
    if wrong := [size for size in sizes if not isinstance(size, int) or size >= 2**40]:
        raise Malformed(f"a tensor with {wrong[0]!r} entries along a dimension")
    return tuple(sizes)


def index_of(path):
    """The index file that a folder, a prefix, an index or a data file stands for, or None."""
    if path.is_dir():
        indexes = sorted(path.glob("*.index"))
        return newest(path, indexes)
    if match := re.fullmatch(r"(.+)\.(index|data-\d{5}-of-\d{5})", path.name):
        return path.with_name(match[1] + ".index")
    beside = path.with_name(path.name + ".index")
    return beside if beside.is_file() and not path.exists() else None


def newest(folder, indexes):
    """Of several indexes in a folder, the one that its file `checkpoint` names."""
    try:
        words = (folder / "checkpoint").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        words = ""
    named = re.search(r'^model_checkpoint_path: "(?:.*/)?([^"/]+)"', words, re.MULTILINE)
    chosen = [path for path in indexes if named and path.name == named[1] + ".index"]
    if not chosen and len(indexes) > 1:
        found = ", ".join(path.name for path in indexes[:3])
        refuse(folder, "one checkpoint", f"{len(indexes)} ({found})", "give the .index file that you mean")
    return (chosen or indexes or [None])[0]
