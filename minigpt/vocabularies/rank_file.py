"""tiktoken's files of ranks: a line for each token, its bytes in base64 and its rank, which is its id.

There are no merges in it. A token's merge is found by merging its bytes with the tokens before it: two parts
are left. There are no special tokens either: <|endoftext|> gets the first free id, as in r50k_base. The file
does not say how text is cut into pieces: it is cut as GPT-2 does.
"""

import base64
import binascii
import re

from minigpt import bpe
from minigpt.disk import replace_file
from minigpt.errors import DataError
from minigpt.symbols import BYTE_IDS, BYTES

LONGEST = 64  # bytes of a line for a single byte, at most
LINE = re.compile(rb"([A-Za-z0-9+/]+={0,2}) (\d{1,9})")


def is_line(line):
    """Whether a line reads as a token and its rank."""
    return LINE.fullmatch(line.rstrip(b"\r")) is not None


def is_ours(path):
    """Whether a file begins as all of ours do: a line for each byte, in any order, ranks 0 to 255."""
    with open(path, "rb") as file:
        head = b"".join(file.readline(LONGEST) for _ in BYTES)
    try:
        ranks = parse(head, path)
    except DataError:
        return False
    return set(ranks) == {bytes([byte]) for byte in BYTES}


def places(path):
    """(file, whether what is there may be replaced) of each file that write writes."""
    return [(path, is_ours)]


def write(tokenizer, path):
    """Write the ranks."""
    ranks = {tokenizer.tokens[id]: id for id in tokenizer.ids}
    if sorted(tokenizer.ids) != tokenizer.ids or tokenizer.eot != len(ranks) or len(tokenizer.special) != 1:
        raise DataError(
            f"{path}: a file of ranks cannot hold this tokenizer, whose ids are not in the order of its "
            f"merges; save it under a name that ends in .json"
        )
    lines = [b"%s %d\n" % (base64.b64encode(token), rank) for token, rank in ranks.items()]
    replace_file(path, b"".join(lines))


def read(content, path):
    """(merges, ids, None) of a file of ranks."""
    ranks = parse(content, path)
    single = [ranks.pop(bytes([byte]), None) for byte in BYTES]
    if None in single:
        raise DataError(f"{path}: expected all 256 bytes, found no {BYTES[single.index(None)]:#04x}")
    merges, places = [], {}
    tokens = sorted(ranks, key=ranks.__getitem__)
    for token in tokens:
        parts = bpe.apply(token.translate(BYTE_IDS), places)
        if len(parts) != 2:
            raise DataError(
                f"{path}: expected every token to be two earlier ones, "
                f"found {token!r} of rank {ranks[token]} to be {len(parts)}"
            )
        places[tuple(parts)] = bpe.FIRST_MERGE + len(merges)
        merges.append(tuple(parts))
    return merges, [*single, *(ranks[token] for token in tokens)], None


def parse(content, path):
    """The tokens of the file and their ranks, which are 0, 1, 2, ... each once."""
    ranks = {}
    for number, line in enumerate(content.rstrip().split(b"\n"), start=1):
        found = LINE.fullmatch(line.rstrip(b"\r"))
        try:
            token = base64.b64decode(found[1], validate=True) if found else b""
        except binascii.Error:
            token = b""
        if not token or token in ranks:
            raise DataError(
                f"{path}, line {number}: expected a new token in base64, a space and its rank, "
                f"found {line[:80]!r}"
            )
        ranks[token] = int(found[2])
    if sorted(ranks.values()) != list(range(len(ranks))):
        raise DataError(f"{path}: expected the ranks 0 to {len(ranks) - 1}, each once")
    return ranks
