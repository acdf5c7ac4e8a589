"""tokenizer.json of the Hugging Face tokenizers library, for byte-level BPE that cuts text as GPT-2 does.

In transformers, the text <|endoftext|> in a document becomes the special token; in minigpt it stays text.
Beside tokenizer.json, write leaves tokenizer_config.json, by which transformers knows which class to use.
"""

import json
import re

from minigpt.disk import read_json, replace_file
from minigpt.errors import CheckpointError, DataError
from minigpt.ours import HEAD
from minigpt.symbols import SYMBOLS, meant, shown

CONFIG, CLASS = "tokenizer_config.json", "GPT2Tokenizer"
BEGINNING = re.compile(rb'\s*\{\s*"version"\s*:')  # of every tokenizer.json that the library writes
MOST = 2**18  # bytes of a tokenizer_config.json
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
# what a file must say, where it says anything: another value would mean other tokens
MODEL = {
    "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "",
    "end_of_word_suffix": "", "byte_fallback": False, "ignore_merges": False,
}  # fmt: skip


def places(path):
    """(file, whether what is there may be replaced) of each file that write writes."""
    return [(path, is_ours), (path.with_name(CONFIG), is_config)]


def is_ours(path):
    """Whether a file is a tokenizer.json that read understands: of another kind of model, it is not."""
    with open(path, "rb") as file:
        if not BEGINNING.match(file.read(HEAD)):
            return False
    try:
        read(path.read_bytes(), path)
    except DataError:
        return False
    return True


def is_config(path):
    """Whether a file is a tokenizer_config.json of GPT-2's class."""
    try:
        content = read_json(path, MOST)
    except CheckpointError:
        return False
    return str(content.get("tokenizer_class")).removesuffix("Fast") == CLASS


def write(tokenizer, path):
    """Write tokenizer.json, and tokenizer_config.json beside it."""
    content, config = contents(tokenizer)
    replace_file(path, content)
    replace_file(path.with_name(CONFIG), config)


def contents(tokenizer):
    """The bytes of tokenizer.json and of tokenizer_config.json."""
    parts = [shown(token) for token in tokenizer.tokens]
    ids = tokenizer.ids
    merges = [f"{parts[ids[left]]} {parts[ids[right]]}" for left, right in tokenizer.merges]
    vocab = {parts[id]: id for id in sorted(tokenizer.ids)}
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [added(text, id) for text, id in tokenizer.special.items()],
        "normalizer": None,
        "pre_tokenizer": BYTE_LEVEL,
        "post_processor": BYTE_LEVEL,
        "decoder": BYTE_LEVEL,
        "model": MODEL | {"fuse_unk": False, "vocab": vocab | tokenizer.special, "merges": merges},
    }
    end = tokenizer.tokens[tokenizer.eot].decode()
    config = {"tokenizer_class": CLASS, "add_prefix_space": False}
    config |= {"bos_token": end, "eos_token": end, "unk_token": end}
    return as_json(content), as_json(config)


def as_json(value):
    """JSON to be read by people: an entry a line. Not indented, for which json takes ten times as long."""
    return (json.dumps(value, ensure_ascii=False, separators=(",\n", ": ")) + "\n").encode()


def added(text, id):
    """An entry for a special token."""
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {"id": id, "content": text} | flags


def read(content, path):
    """(merges, ids, special) of a tokenizer.json."""
    try:
        content = json.loads(content)
    except (ValueError, RecursionError) as reason:
        raise DataError(f"{path}: not readable as JSON: {reason}") from None
    model = content.get("model")
    if not isinstance(model, dict):
        raise DataError(f"{path}: expected a tokenizer.json with an object model, found {list(content)[:8]}")
    check_model(model, path)
    check_cutting(content, path)
    special = special_tokens(content.get("added_tokens") or [], path)
    vocab = numbered(model.get("vocab"), special, path)
    merges, ids = merged(model.get("merges"), vocab, path)
    if len(ids) < len(vocab):
        unknown = next(token for token, id in vocab.items() if id not in set(ids))
        raise DataError(f"{path}: model.vocab: expected bytes and merged tokens, found {unknown!r}, no such")
    return merges, ids, special or None


def check_model(model, path):
    """Refuse models that would merge in another way."""
    for name, expected in MODEL.items():
        found = model.get(name, expected)
        if found != expected and (found or expected):  # None, "" and 0 all mean that there is none
            raise DataError(f"{path}: model.{name}: expected {expected!r}, found {found!r}")


def check_cutting(content, path):
    """Refuse what changes a text, or cuts it otherwise, before it is merged."""
    if content.get("normalizer"):
        raise DataError(f"{path}: expected no normalizer, found {str(content['normalizer'])[:80]}")
    cutting = content.get("pre_tokenizer")
    stated = cutting.items() if isinstance(cutting, dict) else ()
    found = {name: value for name, value in stated if name != "trim_offsets"}
    expected = {name: value for name, value in BYTE_LEVEL.items() if name != "trim_offsets"}
    if {"use_regex": True} | found != expected:
        raise DataError(f"{path}: expected the pre_tokenizer {expected}, as GPT-2 has, found {cutting}")


def special_tokens(entries, path):
    """Text -> id of the added tokens."""
    special = {}
    for entry in entries if isinstance(entries, list) else [entries]:
        if not (isinstance(entry, dict) and isinstance(entry.get("content"), str) and entry.get("special")):
            raise DataError(f"{path}: added_tokens: expected special tokens alone, found {str(entry)[:120]}")
        special[entry["content"]] = entry.get("id")
    return special


def numbered(vocab, special, path):
    """Symbols -> id of the tokens that are not special."""
    if not isinstance(vocab, dict) or not all(type(id) is int for id in vocab.values()):
        raise DataError(f"{path}: model.vocab: expected an object of tokens and their ids")
    return {token: id for token, id in vocab.items() if token not in special}


def merged(pairs, vocab, path):
    """The merges, and the ids of the bytes and of what the merges make."""
    if not isinstance(pairs, list):
        raise DataError(f"{path}: model.merges: expected a list, found {type(pairs).__name__}")
    if missing := [symbol for symbol in SYMBOLS if symbol not in vocab]:
        raise DataError(f"{path}: model.vocab: expected all 256 bytes, found no {meant(missing[0])!r}")
    places = {symbol: place for place, symbol in enumerate(SYMBOLS)}
    merges = []
    for number, pair in enumerate(pairs):
        left, right = pair_of(pair)
        token = left + right
        if left not in places or right not in places or token not in vocab or token in places:
            raise DataError(
                f"{path}: model.merges[{number}]: expected two tokens from before "
                f"that make a new one of model.vocab, found {pair!r}"
            )
        merges.append((places[left], places[right]))
        places[token] = len(places)
    return merges, [vocab[token] for token in places]


def pair_of(pair):
    """A merge as two texts, whether it is written "a b" or ["a", "b"]; a pair of none if it is neither."""
    parts = pair.split(" ") if isinstance(pair, str) else pair
    if isinstance(parts, list) and len(parts) == 2 and all(isinstance(part, str) for part in parts):
        return parts
    return "", ""
