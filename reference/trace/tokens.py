"""From text to ids, for the page: pieces, their bytes, and every merge in its order."""

from minigpt import bpe
from minigpt.pieces import cut
from minigpt.symbols import BYTE_IDS, SYMBOLS, shown


def pieces_of(tokenizer, text):
    """For each piece its text, bytes and ids, and the rows of tokens before and after every merge.

    A row: the rank of the merge, the tokens as symbols, and which of them it made.
    """
    ranks = {pair: bpe.FIRST_MERGE + rank for rank, pair in enumerate(tokenizer.merges)}
    symbols = [*SYMBOLS, *(shown(tokenizer.tokens[id]) for id in tokenizer.ids[bpe.FIRST_MERGE :])]
    found = []
    for piece in cut(text):
        ids = list(piece.encode().translate(BYTE_IDS))
        rows = [{"rank": None, "tokens": [symbols[id] for id in ids], "made": []}]
        for pair, ids in bpe.steps(ids, ranks):
            new = ranks[pair]
            made = [place for place, id in enumerate(ids) if id == new]
            rows.append({"rank": new - bpe.FIRST_MERGE, "tokens": [symbols[id] for id in ids], "made": made})
        found.append({"text": piece, "bytes": piece.encode().hex(" "), "rows": rows,
                      "ids": [tokenizer.ids[id] for id in ids]})  # fmt: skip
    return found


def word(token):
    """A token's bytes as text, or as symbols where they are part of a character."""
    try:
        return token.decode()
    except UnicodeDecodeError:
        return shown(token)
