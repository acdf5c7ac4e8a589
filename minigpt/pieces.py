"""Text to pieces, as GPT-2 cuts it: words, numbers, punctuation, white space.

Merges stay within a piece, so that no token holds the end of one word and the beginning of the next.
"""

import functools
import re

from minigpt.gpt2 import character_classes

# openai/gpt-2, src/encoder.py, where L is \p{L}, N is \p{N} and S is \s. A word, a number or a run of other
# characters takes one space before it along; of white space before a word, the last character stays behind.
PATTERN = "'s|'t|'re|'ve|'m|'ll|'d| ?[{L}]+| ?[{N}]+| ?[^{S}{L}{N}]+|[{S}]+(?![^{S}])|[{S}]+"


@functools.cache
def pattern():
    """PATTERN with the characters of the classes in their places, compiled when first needed."""
    return re.compile(PATTERN.format(**character_classes()))


def cut(text):
    """The pieces of a text in order; together they are the text.

    "I'm  here, 12" -> ["I", "'m", " ", " here", ",", " 12"]
    """
    return pattern().findall(text)
