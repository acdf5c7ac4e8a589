"""Parameters on the way in and out: the hub's names and (in, out) here, llm.c's stacked (out, in) there."""

import numpy as np

from reference.llmc.names import HUB, MATRICES, PARAMETERS, keys, layered


def from_hub(params, n_layer):
    """Parameters by the hub's names, (in, out), as a dictionary by key, (out, in), in float64."""
    by_key = {}
    for name, pattern in HUB.items():
        for layer in range(n_layer) if layered(name) else [None]:
            weight = np.asarray(params[pattern.format(layer)], np.float64)
            by_key[name, layer] = np.ascontiguousarray(weight.T) if name in MATRICES else weight
    return by_key


def to_hub(by_key):
    """from_hub, undone; gradients as well, under the parameters' names."""
    return {
        HUB[name].format(layer): (array.T if name in MATRICES else array)
        for (name, layer), array in by_key.items()
    }


def random_parameters(sizes, seed):
    """Far from any initialisation, so that no term is too small to be missed, and exact in float32.

    Matrices keep a vector's length on average; gains lie around 1, biases around 0, each by 0.3.
    """
    rng = np.random.default_rng(seed)
    by_key = {}
    for name in PARAMETERS:
        for key in keys(name, sizes):
            axes = PARAMETERS[name].removeprefix("L ")
            values = rng.normal(size=sizes.shape(axes))
            if " " in axes:
                values = values / np.sqrt(values.shape[-1])
            else:
                values = values * 0.3 + (name.startswith("ln") and name.endswith("w"))
            by_key[key] = values.astype(np.float32).astype(np.float64)
    return by_key


def stacked(tensors, name, sizes):
    """One name's tensors as llm.c holds them: all layers in one array, the vocabulary padded with zeros."""
    layers = [tensors[key] for key in keys(name, sizes)]
    return padded(np.stack(layers) if layered(name) else np.asarray(layers[0]), name, sizes)


def padded(array, name, sizes):
    """array with its vocabulary axis, if it has one, filled up to sizes.padded."""
    axis = vocabulary_axis(name)
    if axis is None:
        return array
    widths = [(0, 0)] * array.ndim
    widths[axis] = (0, sizes.padded - sizes.V)
    return np.pad(array, widths)


def vocabulary_axis(name):
    """The axis that llm.c pads, or None."""
    name = name.removeprefix("d")
    return {"wte": 0, "logits": 2, "probs": 2}.get(name)
