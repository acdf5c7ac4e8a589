"""From text to ids, for the page: pieces, their bytes, and every merge in its order."""

from minigpt import bpe
from minigpt.pieces import cut
from minigpt.symbols import BYTE_IDS, SYMBOLS, shown

LONGEST = 64  # bytes of a piece whose every merge is shown; of a longer one, the first and the last row


def pieces_of(tokenizer, text, n_ids):
    """The pieces that the first n_ids ids come from: text, bytes, ids, rows before and after every merge.

    A row: the rank of the merge, the tokens as symbols, and which of them it made.
    """
    ranks = {pair: bpe.FIRST_MERGE + rank for rank, pair in enumerate(tokenizer.merges)}
    symbols = [*SYMBOLS, *(shown(tokenizer.tokens[id]) for id in tokenizer.ids[bpe.FIRST_MERGE :])]
    found, count = [], 0
    for piece in cut(text):
        if count >= n_ids:
            break
        rows, ids = merged(list(piece.encode().translate(BYTE_IDS)), ranks)
        for row in rows:
            row["tokens"] = [symbols[id] for id in row["tokens"]]
        ids = [tokenizer.ids[id] for id in ids]
        found.append({"text": piece, "bytes": piece.encode().hex(" "), "rows": rows, "ids": ids})
        count += len(ids)
    return found


def merged(ids, ranks):
    """The rows of one piece, and its last ids."""
    rows = [{"rank": None, "tokens": ids, "made": []}]
    for pair, after in bpe.steps(ids, ranks):
        made = [place for place, id in enumerate(after) if id == ranks[pair]]
        rows.append({"rank": ranks[pair] - bpe.FIRST_MERGE, "tokens": after, "made": made})
    if len(ids) > LONGEST:
        rows[1:] = [rows[-1] | {"rank": None, "made": []}]
    return rows, rows[-1]["tokens"]


def word(token):
    """A token's bytes as text, or as symbols where they are part of a character."""
    try:
        return token.decode()
    except UnicodeDecodeError:
        return shown(token)
