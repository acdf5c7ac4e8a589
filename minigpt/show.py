"""A tokenizer's work, to be read: pieces, their bytes, every merge in its order, the ids."""

from minigpt import bpe
from minigpt.pieces import cut
from minigpt.symbols import BYTE_IDS, SYMBOLS, shown
from minigpt.token_checks import checked_text

TITLE = 60  # characters of a text in the first line


def shown_work(tokenizer, text):
    """Yield the lines that show how a text becomes ids.

    A rank is a merge's place in the list of merges, from 0: of all pairs in a piece, the one of the lowest
    rank is merged first.
    """
    text = checked_text(text, "text")
    pieces, ids, size = cut(text), tokenizer.encode(text), len(text.encode())
    title = repr(text) if len(text) <= TITLE else f"{text[:TITLE]!r}..."
    yield (
        f"{title}: {len(text):,} characters, {size:,} bytes, {len(pieces):,} pieces, {len(ids):,} tokens"
        + (f", {size / len(ids):.2f} bytes a token" if ids else "")
    )
    yield "bytes as vocabulary files write them: Ġ is a space, Ċ a newline, é is the two bytes Ã ©"
    work = Work(tokenizer)
    for number, piece in enumerate(pieces, start=1):
        yield ""
        yield f"piece {number}  {piece!r}"
        yield from work.of_piece(piece)
    yield ""
    yield f"ids  {' '.join(map(str, ids))}"


class Work:
    """What it takes to show the merges of a tokenizer."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer
        self.merges = {pair: bpe.FIRST_MERGE + rank for rank, pair in enumerate(tokenizer.merges)}
        self.visible = [*SYMBOLS, *(shown(tokenizer.tokens[id]) for id in tokenizer.ids[bpe.FIRST_MERGE :])]

    def of_piece(self, piece):
        """Yield the lines of one piece: its bytes, the state after each merge, the ids."""
        content = piece.encode()
        tokens = list(content.translate(BYTE_IDS))
        yield f"  {'bytes':>12}  {content.hex(' ')}"
        yield f"  {'':>12}  {self.row(tokens)}"
        for pair, merged in bpe.steps(tokens, self.merges):
            new, tokens = self.merges[pair], merged
            yield f"  {f'rank {new - bpe.FIRST_MERGE:,}':>12}  {self.row(tokens, new)}"
        yield f"  {'ids':>12}  {' '.join(str(self.tokenizer.ids[token]) for token in tokens)}"

    def row(self, tokens, new=None):
        """Tokens side by side, those that a merge has just made in brackets."""
        return " ".join(
            f"[{self.visible[token]}]" if token == new else self.visible[token] for token in tokens
        )
