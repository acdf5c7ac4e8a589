"""OpenAI's released checkpoints: a tensor bundle and hparams.json. openai/gpt-2, src/model.py"""

import re

from minigpt.config import GPTConfig
from minigpt.disk import read_json
from minigpt.errors import CheckpointError
from minigpt.weights.found import Found
from minigpt.weights.stored import LIST_ROOM
from minigpt.weights.tensor_bundle import index_of, open_bundle

NAME = re.compile(r"model/(?:h(?P<layer>\d+)/)?(?P<part>[a-z_0-9/]+?)(?:/(?P<kind>[gbw]))?")
KINDS = {"g": "weight", "w": "weight", "b": "bias", None: "weight"}


def open_openai(path):
    """A Found of the folder, of the index in it, or of its prefix (.../model.ckpt)."""
    index = index_of(path) or path
    tensors = {}
    for theirs, stored in open_bundle(index).items():
        if name := ours(theirs):
            tensors[name] = without_first_axis(stored)
    hparams = index.with_name("hparams.json")
    words = checked_hparams(hparams) if hparams.exists() else {}
    return Found(index, tensors, words, hparams if words else index)


def ours(theirs):
    """Our name for a variable, None for what is no weight: model/h0/ln_1/g -> h.0.ln_1.weight."""
    match = NAME.fullmatch(theirs)
    if not match or theirs.endswith(("/Adam", "/Adam_1")):
        return None
    layer = f"h.{match['layer']}." if match["layer"] else ""
    return f"{layer}{match['part'].replace('/', '.')}.{KINDS[match['kind']]}"


def without_first_axis(stored):
    """Convolutions of width 1, (1, in, out), as the matrices that they are, (in, out)."""
    if len(stored.shape) == 3 and stored.shape[0] == 1:
        return stored._replace(shape=stored.shape[1:])
    return stored


def checked_hparams(path):
    """GPTConfig's fields, which have OpenAI's names."""
    words = read_json(path, LIST_ROOM)
    fields = GPTConfig.__dataclass_fields__
    if missing := [field for field in fields if field not in words]:
        raise CheckpointError(f"{path}: expected {', '.join(fields)}, found no {missing[0]}; fetch it again")
    return {field: words[field] for field in fields}
