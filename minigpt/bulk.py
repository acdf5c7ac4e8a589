"""Encoding at tiktoken's speed: the same pieces, the same merges, in tiktoken's compiled code.

Nothing is fetched: tiktoken is given our tokens in the order of their merges, and our character classes.
"""

import numpy as np
import tiktoken

from minigpt import bpe
from minigpt.gpt2 import character_classes

# pieces.PATTERN for an engine with possessive repetition: "++" takes all there is and never tries with less.
PATTERN = "'(?:[sdmt]|ll|ve|re)| ?[{L}]++| ?[{N}]++| ?[^{S}{L}{N}]++|[{S}]++$|[{S}]+(?![^{S}])|[{S}]"
STRIDE = 10_000  # characters of white space that its engine surely bears; a million are too many


class BulkEncoder:
    """tiktoken, set up as a Tokenizer whose tokens can all be reached, or as none."""

    def __init__(self, tokenizer, sound):
        parts = [tokenizer.tokens[id] for id in tokenizer.ids]
        self.sound = sound
        self.ids = None if tokenizer.ids == list(range(len(parts))) else np.array(tokenizer.ids)
        self.encoding = tiktoken.Encoding(
            "minigpt",
            pat_str=PATTERN.format(**character_classes()),
            mergeable_ranks={part: rank for rank, part in enumerate(parts)},
            special_tokens={"<|endoftext|>": len(parts)},  # not looked for; with none, it is half as fast
        )

    def encode(self, text):
        """The ids of a text as an array, or None if tiktoken would not do as bpe.apply does.

        That is so for long white space before a word, on which its engine runs out of stack.
        """
        if not self.sound or has_long_space(text):
            return None
        places = self.encoding.encode_to_numpy(text, disallowed_special=())
        return places if self.ids is None else self.ids[places]


def has_long_space(text):
    """Whether white space may go on for 2 STRIDE characters: it would fill a stride between multiples."""
    return any(text[at : at + STRIDE].isspace() for at in range(0, len(text) - STRIDE + 1, STRIDE))


def all_reachable(merges):
    """Whether the bytes of every token merge into it.

    tiktoken merges two neighbours whenever their bytes together are a token, bpe.apply only the pair that is
    a merge. The results are the same when the bytes of every token, alone, end as that one token.
    """
    ranks, spelled = {}, [[token] for token in range(bpe.FIRST_MERGE)]
    for new, pair in enumerate(merges, start=bpe.FIRST_MERGE):
        ranks[pair] = new
        spelled.append(spelled[pair[0]] + spelled[pair[1]])
    return all(bpe.apply(spelling, ranks) == [token] for token, spelling in enumerate(spelled))
