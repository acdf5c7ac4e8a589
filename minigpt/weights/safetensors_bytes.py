"""A safetensors file as its bytes, piece by piece, for one who hashes what he writes while he writes it.

The library's own writer copies every tensor first and shows its bytes to nobody. The bytes are the same.
"""

import json

from minigpt.weights.safetensors_files import DTYPES, LENGTH, METADATA

PIECE = 2**22  # bytes at a time
NAMES = {dtype: name for name, dtype in DTYPES.items()}


def safetensors_bytes(arrays, metadata=None):
    """The pieces of a file with these arrays, which lie in C order; they are looked at, not copied.

    Wider numbers come first, then names in order, as the library has it.
    """
    order = sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name))
    header, stop = {METADATA: metadata} if metadata else {}, 0
    for name in order:
        start, stop = stop, stop + arrays[name].nbytes
        header[name] = {
            "dtype": NAMES[arrays[name].dtype],
            "shape": list(arrays[name].shape),
            "data_offsets": [start, stop],
        }
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % LENGTH)  # so that numbers lie aligned
    pieces = [len(text).to_bytes(LENGTH, "little") + text]
    for name in order:
        content = memoryview(arrays[name].reshape(-1)).cast("B")
        pieces += [content[start : start + PIECE] for start in range(0, len(content), PIECE)]
    return pieces
