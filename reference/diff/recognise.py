"""Which of llm.c's tensors a name means: "h.3.attn.c_attn.weight", "grads_acts.ln1", "blocks.2.dqkv"."""

import re
from typing import NamedTuple

from reference.llmc.names import ACTIVATIONS, HUB, PARAMETERS

PARTS = ("q", "k", "v")
PREFIX = re.compile(
    r"^(acts|activations|params|parameters|grads_acts|grads|grad|transformer|model|module)[._/]"
)
GRADIENT = re.compile(r"^(grads_acts|grads|grad)[._/]|[._]grad$")
BEFORE = re.compile(r"^(?:h|layers?|blocks?|l)?[._/]?(\d{1,9})[._/](.+)$")
BEHIND = re.compile(r"^(.+?)(?:\[(\d{1,9})\]|[._/](?:l|layer)?(\d{1,9}))$")


class Meaning(NamedTuple):
    """llm.c's name; the layer, or None where all are meant or there are none; whether only values can tell
    a gradient from a weight, as with the bare names of the hub."""

    name: str
    layer: int | None
    ambiguous: bool = False


def recognise(name):
    """What a name means, or None for a stranger."""
    bare = re.sub(r"[._]grad$", "", name)
    while (shorter := PREFIX.sub("", bare)) != bare:
        bare = shorter
    layer = None
    if bare not in HUB.values() and (inside := BEFORE.match(bare)):
        layer, bare = int(inside[1]), inside[2]
    elif bare not in HUB.values() and (behind := BEHIND.match(bare)):
        layer, bare = int(behind[2] or behind[3]), behind[1]
    return meaning(bare, layer, gradient=bool(GRADIENT.search(name)))


def meaning(bare, layer, gradient):
    """recognise, once prefixes and the layer are off."""
    if bare in ("loss", "mean_loss"):
        return Meaning("loss", None)
    hub = {pattern.removeprefix("h.{}."): name for name, pattern in HUB.items()}
    for word in (bare, bare.removeprefix("d_"), bare.removeprefix("d")):
        marked = gradient or word != bare
        if word in hub:
            return Meaning(f"d{hub[word]}" if marked else hub[word], layer, ambiguous=not marked)
        if word in (*ACTIVATIONS, *PARAMETERS, *PARTS):
            return Meaning(f"d{word}" if marked else word, layer)
    return None


def is_part(name):
    """Whether a name is q, k or v, or the gradient of one."""
    return name.removeprefix("d") in PARTS


def whole_of(name):
    """qkv for q, k, v; dqkv for dq, dk, dv; else the name itself."""
    if not is_part(name):
        return name
    return "dqkv" if name.startswith("d") else "qkv"
