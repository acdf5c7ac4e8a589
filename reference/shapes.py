"""The model that --random describes, to check and to dump alike: "gpt2", "n_layer=3", "gpt2,n_layer=2"."""

import re

from minigpt import PRESETS, GPTConfig
from minigpt.errors import ConfigError
from reference.bad_input import BadInput

SMALL = {"n_layer": 2, "n_head": 2, "n_embd": 8, "n_ctx": 16, "n_vocab": 29}


def random_shape(words, **more):
    """(GPTConfig, the other fields) of words: SMALL and `more` where they say nothing. Raises BadInput."""
    shape, said = SMALL | more, []
    for word in map(str.strip, words.split(",")):
        field, _, value = word.partition("=")
        if word in PRESETS and not said:
            shape |= vars(PRESETS[word])
        elif field in shape and re.fullmatch("[0-9]{1,10}", value):
            shape[field] = int(value)
        else:
            names, fields = ", ".join(PRESETS), ", ".join(shape)
            raise BadInput(f"--random: expected {names} first, or {fields} with =NUMBER: found {word!r}")
        if field in said:
            raise BadInput(f"--random: {field} is given twice: found {words!r}")
        said.append(field)
    try:
        config = GPTConfig(**{field: shape.pop(field) for field in SMALL})
    except ConfigError as reason:
        raise BadInput(f"--random: {reason}") from None
    return config, shape
