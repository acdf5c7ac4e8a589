"""safetensors: a length (u64), so many bytes of JSON that say where each array lies, and the arrays.

https://github.com/huggingface/safetensors, README, "Format"
"""

import json
import math

import ml_dtypes
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from minigpt.errors import CheckpointError
from minigpt.weights.stored import AGAIN, LIST_ROOM, LIST_SHARE, MappedFile, Stored, check_room, read, refuse
from minigpt.weights.strangers import refuse_damaged
from minigpt.weights.whole import written_whole

DTYPES = {
    "F64": np.dtype("<f8"), "F32": np.dtype("<f4"), "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "I64": np.dtype("<i8"), "I32": np.dtype("<i4"), "I16": np.dtype("<i2"), "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"), "U32": np.dtype("<u4"), "U16": np.dtype("<u2"), "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}  # fmt: skip
LENGTH = 8  # bytes of the length of the header
METADATA = "__metadata__"
DIMENSIONS = 32


def open_safetensors(path):
    """name -> Stored of a file. Raises CheckpointError."""
    file = MappedFile(path)
    length, header = read_header(file)
    start, end = LENGTH + length, 0
    header.pop(METADATA, None)
    tensors = {}
    for name, entry in sorted(header.items(), key=lambda item: first_byte(path, *item)):
        dtype, shape, (begin, stop) = checked_entry(path, name, entry)
        if begin != end:
            expected = f"its data to begin at {end:,}, where the last ended"
            refuse(f"{path}: {name}", expected, f"{begin:,}", AGAIN)
        tensors[name], end = Stored(file, name, dtype, shape, start + begin), stop
    check_room(file, f"a header of {start:,}, then {len(tensors):,} tensors", start + end)
    return {name: tensors[name] for name in header}


def read_header(file):
    """(bytes, the JSON object) of the header."""
    if file.content[LENGTH : LENGTH + 1].tobytes() != b"{":
        refuse_damaged(file, "a safetensors file", "no header of JSON")
    length = int.from_bytes(file.content[:LENGTH].tobytes(), "little")
    if length > max(LIST_ROOM, file.size // LIST_SHARE):
        refuse(file.path, "a safetensors file", f"a header of {length:,} bytes in {file.size:,}", AGAIN)
    if length > file.size - LENGTH:
        check_room(file, f"a header of {length:,}, and tensors", LENGTH + length)
    try:
        text = file.content[LENGTH : LENGTH + length].tobytes().decode()
        header = json.loads(text, object_pairs_hook=distinct)
    except (ValueError, RecursionError) as reason:
        refuse(file.path, "a safetensors file with a header of JSON", f"one not readable: {reason}", AGAIN)
    return length, header


def distinct(pairs):
    """A dict of pairs, none of which may replace another."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands there twice")
    return found


def first_byte(path, name, entry):
    """Where an array says that it begins."""
    try:
        begin, stop = entry["data_offsets"]
        if type(begin) is type(stop) is int and 0 <= begin <= stop:
            return begin, stop
    except (TypeError, KeyError, ValueError):
        pass
    refuse(f"{path}: {name}", "data_offsets of a first and a last byte", repr(entry)[:80], AGAIN)


def checked_entry(path, name, entry):
    """(dtype, shape, data_offsets) of an entry, which must agree with one another."""
    dtype, shape, offsets = entry.get("dtype"), entry.get("shape"), entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        advice = "load and save the weights in float32, bfloat16 or float16 with their own library"
        refuse(f"{path}: {name}", f"a dtype among {', '.join(DTYPES)}", repr(dtype)[:40], advice)
    if not isinstance(shape, list) or any(type(size) is not int or size < 0 for size in shape):
        refuse(f"{path}: {name}", "a shape of whole numbers", repr(shape)[:80], AGAIN)
    expected = math.prod(shape) * DTYPES[dtype].itemsize if len(shape) <= DIMENSIONS else -1
    if offsets[1] - offsets[0] != expected:
        found = f"{offsets[1] - offsets[0]:,} bytes"
        refuse(f"{path}: {name}", f"as many bytes as {dtype} of shape {shape}"[:200], found, AGAIN)
    return DTYPES[dtype], tuple(shape), offsets


def read_tensors(path):
    """All arrays of a safetensors file by name, or a CheckpointError."""
    return {name: read(stored) for name, stored in open_safetensors(path).items()}


def write_tensors(path, arrays, metadata=None):
    """A safetensors file of named arrays, flushed to a temporary name and renamed. Raises CheckpointError."""
    with written_whole(path) as temporary:
        # safetensors writes an array's memory as it lies there, so views must be laid out first
        laid_out = {name: np.asarray(array, order="C") for name, array in arrays.items()}
        try:
            save_file(laid_out, temporary, metadata)
        except SafetensorError as reason:
            raise CheckpointError(f"{path}: cannot be written: {reason}") from None
        temporary.chmod(0o644)  # safetensors writes 0o600; weights are there to be shared
