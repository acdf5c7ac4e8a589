"""llm.c's model files: 256 int32, then 16 tensors, each of all layers together, weights (out, in).

karpathy/llm.c, train_gpt2.py, write_model()
"""

import ml_dtypes
import numpy as np

from minigpt.config import GPTConfig
from minigpt.errors import CheckpointError, ConfigError
from minigpt.model import param_shapes
from minigpt.ours import begins_with
from minigpt.weights.found import Found
from minigpt.weights.stored import AGAIN, PIECE, MappedFile, Stored, check_room, converted, refuse
from minigpt.weights.whole import written_whole

MAGIC = 20240326
HEADER_INTS = 256
HEADER_BYTES = 4 * HEADER_INTS
FLOAT32, BFLOAT16 = 3, 5  # versions
DTYPES = {FLOAT32: np.dtype("<f4"), BFLOAT16: np.dtype(ml_dtypes.bfloat16)}
PAD = 128  # the vocabulary is filled up to a multiple of it
FIELDS = ("n_ctx", "n_vocab", "n_layer", "n_head", "n_embd")  # from the header's third number on

# in the file's order; each stands there for all layers, one after the other
BLOCK = (
    "ln_1.weight", "ln_1.bias", "attn.c_attn.weight", "attn.c_attn.bias", "attn.c_proj.weight",
    "attn.c_proj.bias", "ln_2.weight", "ln_2.bias", "mlp.c_fc.weight", "mlp.c_fc.bias",
    "mlp.c_proj.weight", "mlp.c_proj.bias",
)  # fmt: skip
TABLES = ("wte.weight", "wpe.weight")


def names(config):
    """Yield the names of all parameters in the file's order."""
    yield from TABLES
    for part in BLOCK:
        for layer in range(config.n_layer):
            yield f"h.{layer}.{part}"
    yield from ("ln_f.weight", "ln_f.bias")


def is_turned(name, shape):
    """Whether the file has a parameter as (out, in), torch's way: all matrices but the two tables."""
    return len(shape) == 2 and name not in TABLES


def padded(n_vocab):
    """The vocabulary with its padding: 50257 -> 50304."""
    return -(-n_vocab // PAD) * PAD


def n_params(config, n_vocab):
    """How many numbers the 16 tensors hold, with so many rows of the token table."""
    C = config.n_embd
    return (n_vocab + config.n_ctx) * C + config.n_layer * (12 * C + 13) * C + 2 * C


def padding_bytes(config, rows, dtype):
    """What follows the token table: rows of zeros for ids that are none."""
    return (rows - config.n_vocab) * config.n_embd * dtype.itemsize


def file_bytes(config, version=FLOAT32):
    """The size of a model's file."""
    return HEADER_BYTES + DTYPES[version].itemsize * n_params(config, padded(config.n_vocab))


def open_llmc(path):
    """A Found of a model file of version 3 (float32) or 5 (bfloat16)."""
    file = MappedFile(path)
    version, config, rows = read_header(file)
    dtype = DTYPES[version]
    expected = HEADER_BYTES + dtype.itemsize * n_params(config, rows)
    check_room(file, f"a header of {HEADER_BYTES}, then {dtype.name} for {config}", expected)
    tensors, offset, shapes = {}, HEADER_BYTES, param_shapes(config)
    for name in names(config):
        shape, turned = shapes[name], is_turned(name, shapes[name])
        tensors[name] = Stored(file, name, dtype, shape[::-1] if turned else shape, offset, None, turned)
        offset += tensors[name].nbytes
        if name == "wte.weight":
            behind = padding_bytes(config, rows, dtype)
            if file.content[offset : offset + behind].any():
                found = "numbers there: wrong vocabulary"
                refuse(path, f"0 behind the {config.n_vocab:,} rows of the token table", found, AGAIN)
            offset += behind
    return Found(path, tensors, {field: getattr(config, field) for field in FIELDS}, path)


def read_header(file):
    """(version, GPTConfig, rows of the token table) of a model file."""
    header = file.content[:HEADER_BYTES]
    if header.size < HEADER_BYTES:
        check_room(file, "a header, and tensors", HEADER_BYTES + 1)
    magic, version, *sizes = header.view("<i4")[:8].tolist()
    if magic != MAGIC:
        refuse(file.path, f"a model of llm.c, which begins with {MAGIC}", f"{magic}", "give a model's file")
    if version not in DTYPES:
        old = ": an old one, with a vocabulary that is not padded" if version in (1, 2) else ""
        advice = "write the model again with llm.c's train_gpt2.py of today"
        refuse(file.path, "version 3 (float32) or 5 (bfloat16)", f"version {version}{old}", advice)
    try:
        config = GPTConfig(**dict(zip(FIELDS, sizes, strict=False)))
    except ConfigError as reason:
        raise CheckpointError(f"{file.path}: not the header of a GPT-2: {reason}; it is damaged") from None
    if sizes[5] != padded(config.n_vocab):
        expected = f"a vocabulary of {config.n_vocab:,}, padded to {padded(config.n_vocab):,}"
        refuse(file.path, expected, f"one padded to {sizes[5]:,}: wrong vocabulary", AGAIN)
    return version, config, sizes[5]


def places(path):
    """(file, whether what is there may be replaced) of each file that save_llmc writes."""
    return [(path, begins_with(MAGIC.to_bytes(4, "little")))]


def save_llmc(path, config, params, version=FLOAT32):
    """Write params as llm.c's train_gpt2 reads them.

    Numbers are rounded to float32 first, and for version 5 from there to bfloat16, each time to the nearest,
    ties to even: version 5 holds what llm.c would make of version 3.
    """
    rows = padded(config.n_vocab)
    header = np.zeros(HEADER_INTS, "<i4")
    header[:8] = MAGIC, version, *(getattr(config, field) for field in FIELDS), rows
    with written_whole(path) as temporary, open(temporary, "wb") as file:
        file.write(header.tobytes())
        for name in names(config):
            param = params[name]
            turned = param.T if is_turned(name, param.shape) else param
            write_rows(file, f"{path}: {name}", turned, DTYPES[version])
            if name == "wte.weight":
                file.write(bytes(padding_bytes(config, rows, DTYPES[version])))


def write_rows(file, where, array, dtype):
    """Write an array in C's order, about a megabyte at a time."""
    step = max(1, PIECE // (array[:1].size * dtype.itemsize))
    for first in range(0, len(array), step):
        part = converted(where, array[first : first + step], np.dtype(np.float32))
        file.write(converted(where, part, dtype).tobytes())
