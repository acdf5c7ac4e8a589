"""NumPy's files, and a sentence for each that is none."""

import struct
import tokenize
import zipfile
import zlib

import numpy as np

from reference.bad_input import BadInput

# what NumPy, and zipfile below it, raise for bytes that are not theirs
BROKEN = (ValueError, TypeError, KeyError, EOFError, OverflowError, RuntimeError, SyntaxError, struct.error,
          tokenize.TokenError, zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error)  # fmt: skip


def read_npy(path):
    """The array in a .npy file, mapped: a header that promises more than the file holds takes no memory."""
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except BROKEN as reason:
        raise BadInput(f"{path}: not a whole .npy file: {reason}") from None


def read_npz(path):
    """The arrays in a .npz file by name."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (*BROKEN, AttributeError) as reason:  # of a .npy file under this name, np.load makes an array
        raise BadInput(f"{path}: not a whole .npz file: {reason}") from None
