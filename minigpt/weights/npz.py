"""NumPy's archives: every parameter by its name, and n_head, which no shape shows, as an array of its own."""

import contextlib
import io
import math
import struct
import warnings
import zipfile
import zlib

import numpy as np

from minigpt.errors import CheckpointError
from minigpt.weights.found import Found
from minigpt.weights.stored import AGAIN, LIST_ROOM, LIST_SHARE, Checksum, MappedFile, Stored, read, refuse
from minigpt.weights.strangers import PICKLE
from minigpt.weights.whole import written_whole

HEADS = "n_head"
LOCAL = struct.Struct("<4s22xHH")  # a member's own header in a zip file: signature, lengths of name and extra
LOCAL_MAGIC = b"PK\x03\x04"
HEADER_LIMIT = 10_000  # bytes of an array's own header
READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def open_npz(path):
    """A Found of an archive of np.savez, uncompressed. Raises CheckpointError."""
    tensors = open_members(path)
    words = {}
    if heads := tensors.pop(HEADS, None):
        if heads.shape or heads.dtype.kind not in "iu":
            refuse(f"{path}: {HEADS}", "one whole number", f"{heads.dtype} of shape {heads.shape}", AGAIN)
        words = {HEADS: read(heads).item()}
    return Found(path, tensors, words, path)


def open_members(path):
    """name -> Stored of all arrays of an archive."""
    file = MappedFile(path)
    try:
        with zipfile.ZipFile(Frugal(file)) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, struct.error, OSError, EOFError, ValueError) as reason:
        if isinstance(reason, CheckpointError):
            raise
        refuse(path, "a whole .npz file", f"damage ({reason})", AGAIN)
    if any(member.filename.endswith("data.pkl") for member in members):
        refuse(path, "weights", *PICKLE)
    for member in members:
        refuse_packed(path, member)
    if sum(member.file_size for member in members) > file.size:
        refuse(path, f"members that fit into {file.size:,} bytes", "more", AGAIN)
    tensors = {}
    for member in members:
        name = member.filename.removesuffix(".npy")
        if name == member.filename or name in tensors:
            advice = "write it with np.savez, arrays alone and each once"
            refuse(path, "arrays, each once", repr(member.filename)[:200], advice)
        tensors[name] = stored(file, name, member)
    return tensors


class Frugal(io.RawIOBase):
    """A file for zipfile that will not read more at once than a list of members may need."""

    def __init__(self, file):
        self.file, self.at = file, 0

    def read(self, size=-1):
        """The next bytes."""
        left = self.file.size - self.at
        size = left if size is None or size < 0 else min(size, max(left, 0))
        if size > max(LIST_ROOM, self.file.size // LIST_SHARE):
            refuse(self.file.path, "a list of arrays", f"one of {size:,} bytes", AGAIN)
        self.at += size
        return self.file.content[self.at - size : self.at].tobytes()

    def seek(self, offset, whence=0):
        """Go to another place."""
        at = offset + (0, self.at, self.file.size)[whence]
        if at < 0:
            raise ValueError("a place before the file")
        self.at = at
        return at

    def tell(self):
        """The place."""
        return self.at

    def seekable(self):
        """Yes."""
        return True


def refuse_packed(path, member):
    """A CheckpointError if a member does not lie in the archive as it is."""
    if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
        where = f"{path}: {member.filename.removesuffix('.npy')}"
        found = "an encrypted one" if member.flag_bits & 1 else "a compressed one"
        refuse(where, "an array as np.savez writes it", found, "np.load it and np.savez it again")


def stored(file, name, member):
    """The Stored of a member that is the file of an array."""
    where = f"{file.path}: {name}"
    start = data_start(file, member)
    stop = start + member.file_size
    if start < 0 or stop > file.size:
        refuse(where, f"its {member.file_size:,} bytes within the file", "its end beyond it", AGAIN)
    head = io.BytesIO(file.content[start : min(stop, start + HEADER_LIMIT)].tobytes())
    shape, fortran, dtype = read_array_header(where, head)
    offset = start + head.tell()
    if stop - offset != math.prod(shape) * dtype.itemsize:
        refuse(where, f"as many bytes as {dtype} of shape {shape}", f"{stop - offset:,}", AGAIN)
    checksum = Checksum(zlib.crc32, member.CRC, zlib.crc32(file.content[start:offset]))
    return Stored(file, name, dtype, shape[::-1] if fortran else shape, offset, checksum, fortran)


def data_start(file, member):
    """Where a member's bytes begin: behind its own header, which repeats its name."""
    at = member.header_offset
    head = file.content[at : at + LOCAL.size].tobytes() if 0 <= at < file.size else b""
    if len(head) < LOCAL.size:
        return -1
    magic, name, extra = LOCAL.unpack(head)
    return at + LOCAL.size + name + extra if magic == LOCAL_MAGIC else -1


def read_array_header(where, head):
    """(shape, whether in Fortran's order, dtype) of an .npy file's beginning. Raises CheckpointError."""
    # NumPy's parser of headers lets through what its tokenizer raises, and warns of those of Python 2
    found = None
    with contextlib.suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shape, fortran, dtype = READERS[np.lib.format.read_magic(head)](head)
        if all(type(size) is int and size >= 0 for size in shape) and len(shape) <= 64:
            found = shape, fortran, dtype
    if found and dtype.kind in "fiub":
        return found
    if found:
        pickled = ", which is a pickle and can run code" if dtype.hasobject else ""
        refuse(where, "plain numbers", f"{dtype}{pickled}", "save float32 arrays")
    refuse(where, "the header of an .npy file", "one that is not readable", AGAIN)


def places(path):
    """(file, whether what is there may be replaced) of each file that save_npz writes."""
    return [(path, is_model)]


def is_model(path):
    """Whether a file is an archive as save_npz writes it: other people's arrays have other names."""
    try:
        return {HEADS, "wte.weight"} <= open_members(path).keys()
    except CheckpointError:
        return False


def save_npz(path, config, params):
    """Write params and n_head; np.load(path)["wte.weight"] is an array again."""
    if any(param.dtype.name == "bfloat16" for param in params.values()):
        refuse(path, "NumPy's own number types", "bfloat16", "write float32, or safetensors")
    with written_whole(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **{HEADS: np.int64(config.n_head)}, **params)
