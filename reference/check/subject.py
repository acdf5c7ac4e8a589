"""What is checked: weights from files, or a random model of any shape; and the batch to check it on."""

import re
from pathlib import Path

import numpy as np

from minigpt import PRESETS, GPTConfig, Tokenizer, load_weights, texts
from minigpt.errors import ConfigError, DataError
from minigpt.model import param_shapes

GPT2_VOCAB = PRESETS["gpt2"].n_vocab
LONGEST = 64  # positions, unless more are asked for: llm.c's debug batch
SMALL = {"n_layer": 2, "n_head": 2, "n_embd": 8, "n_ctx": 16, "n_vocab": 29}


def load(path, n_head=None):
    """config, params in float64, whose values are those of the file."""
    more = {} if n_head is None else {"n_head": n_head}
    config, params = load_weights(path, dtype="float64", **more)
    return config, dict(params)


def random_model(words, seed):
    """A model of the shape that words give, such as "gpt2" or "n_layer=2,n_head=2,n_embd=8", far from init.

    Matrices keep the size of what goes through them, biases and gains are no zeros and ones, so that every
    term is at work. All numbers are float32's, so that a check in float32 is of the same model.
    """
    config, rng = shape_of(words), np.random.default_rng(seed)
    params = {}
    for name, shape in param_shapes(config).items():
        size = 0.1 if len(shape) == 1 else min(0.5, config.n_embd**-0.5)
        gain = 1 if "ln_" in name and name.endswith("weight") else 0
        # drawn in float32: 124M numbers twice as wide take a gigabyte more
        draws = rng.standard_normal(shape, np.float32) * np.float32(size) + np.float32(gain)
        params[name] = draws.astype(np.float64)
    return config, params


def shape_of(words):
    """The config of "gpt2-medium", "n_layer=3,n_embd=12", "gpt2,n_layer=2": what is not said is SMALL's."""
    shape = dict(SMALL)
    for word in words.split(","):
        field, _, value = word.strip().partition("=")
        if word.strip() in PRESETS:
            shape |= vars(PRESETS[word.strip()])
        elif field in shape and re.fullmatch("[0-9]{1,9}", value):
            shape[field] = int(value)
        else:
            raise ConfigError(
                f"random: expected {', '.join(PRESETS)}, or {', '.join(shape)} with =NUMBER: found {word!r}"
            )
    return GPTConfig(**shape)


def batch_of(config, text, weights, B, T, seed):
    """tokens and targets (B, T), one token apart, and where they are from."""
    if B < 1 or (T is not None and T < 1):
        raise DataError(f"batch and time must be 1 or more: found {B} and {T}")
    T = min(LONGEST, config.n_ctx) if T is None else T
    tokenizer = tokenizer_for(config, weights)
    if tokenizer is None:
        if text is not None:
            raise DataError(
                f"text: a vocabulary of {config.n_vocab} needs a tokenizer beside the weights for it; "
                f"leave out --text to check on random ids"
            )
        return *random_batch(config, B, T, seed), "random ids"
    ids = first_ids(tokenizer, read_text(text) if text else default_text(), B * T + 1)
    if len(ids) < B * T + 1:
        raise DataError(f"{text}: batch {B} of {T} needs {B * T + 1} tokens, the text has {len(ids)}")
    return ids[:-1].reshape(B, T), ids[1:].reshape(B, T), text or "the State of the Union addresses"


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
    return texts.load_sotu()[0][1]
