"""Bytes as visible characters, the way GPT-2's vocabulary files write them: " the" is Ġthe, "é" is Ã©.

The 188 bytes that are visible in Latin-1 stand for themselves, the other 68 are U+0100 and on, in order.
The first 256 ids are the bytes in the order of these characters. openai/gpt-2, src/encoder.py,
bytes_to_unicode()
"""

VISIBLE = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
BYTES = bytes(VISIBLE + [byte for byte in range(256) if byte not in VISIBLE])  # id -> byte
BYTE_IDS = bytes(BYTES.index(byte) for byte in range(256))  # byte -> id
SYMBOLS = [chr(code) for code in [*VISIBLE, *range(256, 256 + 68)]]  # id -> visible character
SYMBOL_OF_BYTE = dict(zip(BYTES, SYMBOLS, strict=True))
BYTE_OF_SYMBOL = dict(zip(SYMBOLS, BYTES, strict=True))


def shown(token):
    """Bytes as symbols: b" the" -> "Ġthe"."""
    return token.decode("latin-1").translate(SYMBOL_OF_BYTE)


def meant(symbols):
    """Symbols as bytes: "Ġthe" -> b" the". KeyError if one of them is no symbol."""
    return bytes(map(BYTE_OF_SYMBOL.__getitem__, symbols))
