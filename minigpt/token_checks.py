"""What comes into a tokenizer from outside is checked here, once."""

import operator

from minigpt.errors import DataError
from minigpt.symbols import BYTES


def checked_text(text, name):
    """text with each lone surrogate replaced by U+FFFD, and surrogate pairs joined; DataError if no str."""
    if not isinstance(text, str):
        raise DataError(f"{name}: expected a str, found {type(text).__name__}")
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", errors="surrogatepass").decode("utf-16", errors="replace")
    return text


def checked_special(special, known):
    """special as a list of the special tokens to look for."""
    if isinstance(special, str):
        if special != "all":
            raise DataError(f"special: expected a list of special tokens or 'all', found {special!r}")
        return list(known)
    for text in special:
        if text not in known:
            raise DataError(f"special: expected some of {', '.join(map(repr, known))}, found {text!r}")
    return list(special)


def checked_size(n_vocab, smallest):
    """n_vocab as an int, or a DataError."""
    whole = as_whole(n_vocab)
    if whole is None or whole < smallest:
        raise DataError(f"n_vocab: expected an integer of at least {smallest}, found {n_vocab!r}")
    return whole


def checked_ids(ids, n_vocab):
    """Yield the ids as ints, or raise a DataError that names the first that is not one of n_vocab."""
    ids = ids.tolist() if hasattr(ids, "tolist") else ids  # arrays are slow to step through
    if not hasattr(ids, "__iter__"):
        raise DataError(f"ids: expected a sequence of integers, found {ids!r}")
    for place, token in enumerate(ids):
        whole = as_whole(token)
        if whole is None or not 0 <= whole < n_vocab:
            raise DataError(f"ids[{place}]: expected an integer from 0 to {n_vocab - 1}, found {token!r}")
        yield whole


def checked_merges(merges):
    """merges as a list of pairs of int, and the bytes of every token: 256 bytes, then each merge."""
    checked, tokens = [], [bytes([byte]) for byte in BYTES]
    known = set(tokens)
    for place, merge in enumerate(merges):
        pair = tuple(map(as_whole, merge)) if isinstance(merge, (tuple, list)) else ()
        if len(pair) != 2 or not all(part is not None and 0 <= part < len(tokens) for part in pair):
            raise DataError(
                f"merges[{place}]: expected a pair of earlier tokens, from 0 to {len(tokens) - 1}, "
                f"found {merge!r}"
            )
        token = tokens[pair[0]] + tokens[pair[1]]
        if token in known:
            raise DataError(f"merges[{place}]: {merge!r} makes {token!r}, which an earlier merge makes too")
        checked.append(pair)
        tokens.append(token)
        known.add(token)
    return checked, tokens


def checked_numbering(ids, special, n_tokens):
    """Refuse ids of tokens and special tokens that are not 0, 1, 2, ... each once."""
    if len(ids) != n_tokens:
        raise DataError(f"ids: expected one for each of {n_tokens} tokens, found {len(ids)}")
    if not special:
        raise DataError("special: expected a special token to stand between documents, found none")
    numbers = [*ids, *special.values()]
    if sorted(checked_ids(numbers, len(numbers))) != list(range(len(numbers))):
        raise DataError(f"ids: expected each of 0 to {len(numbers) - 1} once, for tokens and special tokens")


def as_whole(value):
    """value as an int if it is an integer of Python or NumPy, else None. A bool is none."""
    try:
        return None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return None
