"""Tensors out of files, whoever wrote them: {name: array} in the file's own type.

A raw .bin needs a shape map: --shapes FILE, or NAME.bin.json beside it. It is a JSON object of name ->
{"dtype", "shape", "offset", "file"}; offset counts bytes and is 0 unless said, file is for a map of several
files. llm.c's debug state needs no map.
"""

import json
import math
from pathlib import Path

import ml_dtypes
import numpy as np
from safetensors import SafetensorError, deserialize

from reference.bad_input import BadInput
from reference.diff.recognise import recognise
from reference.npy import read_npy, read_npz

DTYPES = {"float64": "<f8", "float32": "<f4", "float16": "<f2", "bfloat16": ml_dtypes.bfloat16}
SHORT = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16",
         "f64": "float64", "f32": "float32", "f16": "float16", "bf16": "bfloat16",
         "fp64": "float64", "fp32": "float32", "fp16": "float16"}  # fmt: skip
DEBUG_MAGIC = 20240327
INPUTS = "inputs.safetensors"


def read_tensors(path, shapes=None):
    """Every float tensor under a path: a file, or all readable files of a folder. Raises BadInput."""
    path = Path(path)
    if shapes is not None and not Path(shapes).is_file():
        raise BadInput(f"--shapes: {shapes}: no such file")
    if not path.exists():
        raise BadInput(f"{path}: no such file or folder")
    if not path.is_dir():
        return read_file(path, shapes)
    files = sorted(file for file in path.iterdir() if file.suffix in READERS and file.name != INPUTS)
    # a dump says everything twice, as safetensors and as npz
    files = [file for file in files if file.suffix != ".npz" or file.with_suffix(".safetensors") not in files]
    arrays = {}
    for file in files:
        arrays |= read_file(file, shapes)
    if not arrays:
        raise BadInput(f"{path}: holds none of {', '.join(READERS)}")
    return arrays


def read_file(path, shapes=None):
    """The float tensors of one file, by name."""
    if path.suffix not in READERS:
        raise BadInput(f"{path}: expected one of {', '.join(READERS)}: found {path.suffix or 'no ending'}")
    arrays = READERS[path.suffix](path, shapes)
    floats = {name: array for name, array in arrays.items() if is_float(array)}
    for name, array in arrays.items():
        if name not in floats and (not floats or recognise(name)):
            raise BadInput(f"{path}: {name}: expected numbers of a float type: found {array.dtype}")
    return floats


def is_float(array):
    """Whether an array's numbers are of one of the types that are compared."""
    return array.dtype.kind == "f" or array.dtype == ml_dtypes.bfloat16


def read_array(path, shapes):
    return {path.stem: bfloat16_if_void(read_npy(path))}


def read_archive(path, shapes):
    return {name: bfloat16_if_void(array) for name, array in read_npz(path).items()}


def bfloat16_if_void(array):
    """NumPy writes bfloat16 as two bytes without a type."""
    return array.view(ml_dtypes.bfloat16) if array.dtype == "V2" else array


def read_safetensors(path, shapes):
    try:
        entries = deserialize(path.read_bytes())
    except SafetensorError as reason:
        raise BadInput(f"{path}: not a whole safetensors file: {reason}") from None
    arrays = {}
    for name, entry in entries:
        if entry["dtype"] not in SHORT and recognise(name):
            raise BadInput(f"{path}: {name}: expected numbers of a float type: found {entry['dtype']}")
        if entry["dtype"] in SHORT:
            dtype = DTYPES[SHORT[entry["dtype"]]]
            arrays[name] = np.frombuffer(entry["data"], dtype).reshape(entry["shape"])
    return arrays


def read_bin(path, shapes):
    """Raw numbers by a shape map; or a debug state, which brings its own."""
    content = path.read_bytes()
    if content[:4] == DEBUG_MAGIC.to_bytes(4, "little"):
        return read_debug_state(path, content)
    maps = Path(shapes) if shapes is not None else path.with_name(f"{path.name}.json")
    entries = read_map(path, maps)
    if any("file" in entry for entry in entries.values()):
        entries = {name: entry for name, entry in entries.items() if entry.get("file") == path.name}
    return {name: read_raw(path, content, name, entry) for name, entry in entries.items()}


def read_map(path, maps):
    """A shape map."""
    if not maps.is_file():
        raise BadInput(
            f"{path}: raw numbers need a shape map: give --shapes FILE, or write {maps.name} beside it"
        )
    try:
        entries = json.loads(maps.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as reason:
        raise BadInput(f"{maps}: not readable as JSON: {reason}") from None
    if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
        raise BadInput(f'{maps}: expected {{"name": {{"dtype": ..., "shape": [...], "offset": ...}}}}')
    return entries


def read_raw(path, content, name, entry):
    """One tensor of a raw file."""
    word, shape, offset = entry.get("dtype", "float32"), entry.get("shape"), entry.get("offset", 0)
    dtype = DTYPES.get(SHORT.get(word, word)) if isinstance(word, str) else None
    if dtype is None:
        raise BadInput(f"{path}: {name}: dtype must be one of {', '.join(DTYPES)}: found {word!r}")
    if unknown := sorted(set(entry) - {"dtype", "shape", "offset", "file"}):
        raise BadInput(f"{path}: {name}: expected dtype, shape, offset, file: found {unknown[0]!r}")
    if not isinstance(shape, list) or not all(map(is_count, shape)):
        raise BadInput(f"{path}: {name}: shape must be a list of whole numbers: found {shape!r}")
    if not is_count(offset):
        raise BadInput(f"{path}: {name}: offset must be a whole number of bytes: found {offset!r}")
    end = offset + math.prod(shape) * np.dtype(dtype).itemsize
    if end > len(content):
        raise BadInput(
            f"{path}: {name}: {shape} from byte {offset} ends at {end}, the file at {len(content)}"
        )
    return np.frombuffer(content[offset:end], dtype).reshape(shape)


def is_count(value):
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def read_debug_state(path, content):
    """llm.c's debug state: logits, loss, and the parameters' gradients one after the other.

    The file does not say how large the model is: it stays one array, until REF tells the shapes (arrange.py).
    """
    if len(content) < 1024:
        raise BadInput(f"{path}: a debug state begins with 1024 bytes: found {len(content)} bytes in all")
    header = np.frombuffer(content[:1024], "<i4")
    B, T = int(header[2]), int(header[3])
    rest = len(content) - 1024 - 8 * B * T
    if B < 1 or T < 1 or rest < 4 or rest % 4:
        raise BadInput(f"{path}: not a whole debug state: B={B}, T={T}, {len(content)} bytes")
    return {"debug_state": np.frombuffer(content[1024 + 8 * B * T :], "<f4")}


READERS = {".npy": read_array, ".npz": read_archive, ".safetensors": read_safetensors, ".bin": read_bin}
