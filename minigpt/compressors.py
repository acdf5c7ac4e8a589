"""What general-purpose compressors need for a text: reference lines beside a model's bits per byte."""

import bz2
import gzip
import lzma


def bits_per_byte(text):
    """Bits a byte of gzip -9, bzip2 -9 and xz -9 on some bytes, by name."""
    packed = {
        "gzip -9": gzip.compress(text, 9),
        "bzip2 -9": bz2.compress(text, 9),
        "xz -9": lzma.compress(text, preset=9),
    }
    return {name: 8 * len(data) / len(text) for name, data in packed.items()}
