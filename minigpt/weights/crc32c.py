"""CRC32C as TensorFlow and LevelDB store it: masked.

They store checksums beside the data that these vouch for. A CRC over bytes that hold their own CRC is the
same for all data, so a stored one is turned and shifted first (tensorflow, tsl/lib/hash/crc32c.h).
"""

import google_crc32c

DELTA = 0xA282EAD8


def crc32c(content, value=0):
    """The checksum of bytes, or of those that led to value and these after them."""
    return google_crc32c.extend(value, content)


def unmasked(stored):
    """The checksum that a stored one stands for: 0xa282ead8 -> 0."""
    turned = (stored - DELTA) % 2**32
    return (turned >> 17 | turned << 15) % 2**32
