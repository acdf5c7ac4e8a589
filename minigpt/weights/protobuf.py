"""The wire format of protocol buffers: a message is a row of (field number, value) pairs, and no more.

A number is a varint: seven bits a byte, the low ones first, the top bit set on all but the last byte.
A field is the varint (field number << 3 | kind), then its value; a message within a message is bytes.
https://protobuf.dev/programming-guides/encoding
"""

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
WIDTH = {FIXED64: 8, FIXED32: 4}


class Malformed(ValueError):
    """Bytes that are not what their format says; whoever knows the file's name adds it."""


def varint(data, at):
    """(number, place after it) of the varint at a place.

    b"\\xac\\x02", 0 -> (300, 2): 0x2c + (0x02 << 7)
    """
    number = 0
    for place in range(at, min(at + 10, len(data))):
        number |= (data[place] & 0x7F) << 7 * (place - at)
        if data[place] < 0x80:
            if number >= 2**64:
                break
            return number, place + 1
    raise Malformed(f"byte {at:,}: no number of at most 64 bits")


def fields(data):
    """Yield (field number, kind, value) of a message: kinds VARINT and FIXED as int, BYTES as bytes.

    b"\\x08\\x01\\x12\\x01a" -> (1, VARINT, 1), (2, BYTES, b"a")
    """
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, at = varint(data, at)
        elif kind == BYTES:
            length, at = varint(data, at)
            value, at = data[at : at + length], at + length
        elif kind in WIDTH:
            value, at = int.from_bytes(data[at : at + WIDTH[kind]], "little"), at + WIDTH[kind]
        else:
            raise Malformed(f"field {number}: kind {kind} is not in use")
        if at > len(data):
            raise Malformed(f"field {number}: {at - len(data):,} bytes are missing")
        yield number, kind, value
