"""The model that is traced: the small one that lies here, or a person's own."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from minigpt import MinigptError
from minigpt.arrays import Flat
from minigpt.config import GPTConfig
from minigpt.model_files import tokenizer_of
from minigpt.tokenizer import Tokenizer
from minigpt.weights import load_weights
from reference import memory
from reference.bad_input import BadInput

SMALL = Path(__file__).parent / "small"  # see README.md in it
COPIES = 16  # of all parameters, at most: gradients, moments, AdamW's variables
EXACT = 10_000_000  # parameters: larger models are traced in float32, to fit


class Model(NamedTuple):
    """What is traced."""

    name: str
    config: GPTConfig
    params: Flat
    tokenizer: Tokenizer


def model_of(weights, tokenizer):
    """The Model in a file or folder of weights, or the small one. Raises BadInput."""
    try:
        config, params = load_weights(weights or SMALL)
        fitting = tokenizer_of(weights or SMALL, tokenizer, config)
    except MinigptError as error:
        raise BadInput(str(error)) from None
    count = params.buffer.size
    dtype = np.dtype("float64" if count <= EXACT else "float32")
    memory.require(dtype.itemsize * COPIES * count, f"a traced step of {count:,} parameters")
    return Model(str(weights or ""), config, params.like(params.buffer.astype(dtype)), fitting)
