"""A model's parameters, counted by kind of tensor."""

import math

from minigpt.model import param_shapes
from minigpt.room import single

# ending of a tensor's name without weight or bias -> what it is called
GROUPS = {
    "wte": "wte: tokens, and the output head",
    "wpe": "wpe: positions",
    "c_attn": "c_attn: queries, keys, values",
    "attn.c_proj": "attn.c_proj: attention's output",
    "c_fc": "c_fc: the MLP's first layer",
    "mlp.c_proj": "mlp.c_proj: the MLP's second layer",
    "ln": "ln_1, ln_2, ln_f: layernorms",
}


def groups(config):
    """Name of a group -> its parameters, in all layers."""
    found = dict.fromkeys(GROUPS, 0)
    for name, shape in param_shapes(single(config)).items():  # all layers are alike
        layers = config.n_layer if name.startswith("h.") else 1
        found[group(name)] += layers * math.prod(shape)
    return found


def group(name):
    """The group of a parameter: group("h.0.mlp.c_proj.bias") = "mlp.c_proj"."""
    tensor = name.rpartition(".")[0]
    return next(ending for ending in GROUPS if tensor.endswith(ending) or f"{ending}_" in tensor)
