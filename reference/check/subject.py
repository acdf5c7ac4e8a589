"""What is checked: weights from files, or a random model of any shape; and the batch to check it on."""

from pathlib import Path

import numpy as np

from minigpt import PRESETS, Tokenizer, load_weights, texts
from minigpt.errors import DataError
from minigpt.model import param_shapes
from reference.llmc.parameters import random_parameters, to_hub
from reference.questions import sizes_of

GPT2_VOCAB = PRESETS["gpt2"].n_vocab
ADDRESSES = "the State of the Union addresses"
BATCH = 4  # sequences, unless another number is asked for
LONGEST = 64  # positions, unless more are asked for: llm.c's debug batch


def load(path, n_head=None):
    """config, params in float64, whose values are those of the file."""
    more = {} if n_head is None else {"n_head": n_head}
    config, params = load_weights(path, dtype="float64", **more)
    return config, dict(params)


def random_params(config, seed):
    """The random model of reference dump, by the hub's names: one seed, one model."""
    params = to_hub(random_parameters(sizes_of(config), seed))
    return {name: np.ascontiguousarray(params.pop(name)) for name in param_shapes(config)}


def time_of(config, T):
    """Tokens in a sequence: what is asked for, or as many as llm.c's debug batch has, if they fit."""
    return min(LONGEST, config.n_ctx) if T is None else T


def batch_of(config, text, weights, B, T, seed):
    """tokens and targets (B, T), one token apart, and where they are from."""
    T = time_of(config, T)
    tokenizer = tokenizer_for(config, weights)
    if tokenizer is None:
        if text is not None:
            raise DataError(
                f"text: a vocabulary of {config.n_vocab} needs a tokenizer beside the weights for it; "
                f"leave out --text to check on random ids"
            )
        return *random_batch(config, B, T, seed), "random ids"
    ids = first_ids(tokenizer, default_text() if text is None else read_text(text), B * T + 1)
    if len(ids) < B * T + 1:
        source = text or ADDRESSES
        raise DataError(f"{source}: batch {B} of {T} needs {B * T + 1} tokens, the text has {len(ids)}")
    return ids[:-1].reshape(B, T), ids[1:].reshape(B, T), text or ADDRESSES


def tokenizer_for(config, weights):
    """GPT-2's tokenizer for its vocabulary, else the one beside the weights, else None."""
    if config.n_vocab == GPT2_VOCAB:
        return Tokenizer.gpt2()
    if weights is None or not Path(weights).is_dir():
        return None
    try:
        tokenizer = Tokenizer.load(weights)
    except DataError:
        return None
    return tokenizer if tokenizer.n_vocab == config.n_vocab else None


def random_batch(config, B, T, seed):
    """tokens and targets (B, T), one target ignored where there are several."""
    tokens, targets = np.random.default_rng([seed, 1]).integers(0, config.n_vocab, (2, B, T))
    if targets.size > 1:
        targets[-1, -1] = -1
    return tokens, targets


def first_ids(tokenizer, text, count):
    """The first ids of a text, as llm.c makes them: <|endoftext|>, a section to its blank line, and so on.

    karpathy/llm.c, dev/data/tinyshakespeare.py. The first 32,768 are its validation split, whose first 257
    are the debug batch.
    """
    ids, sections = [], text.split("\n\n")
    for place, section in enumerate(sections):
        end = "\n\n" if place < len(sections) - 1 else ""
        ids += [tokenizer.eot, *tokenizer.encode(section + end)]
        if len(ids) >= count:
            break
    return np.array(ids[:count])


def read_text(path):
    """A text file."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as reason:
        raise DataError(f"{path}: not readable as UTF-8 text: {reason}") from None


def default_text():
    """A real text that is always there."""
    return "\n\n".join(text for _, text in texts.load_sotu())
