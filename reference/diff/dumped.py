"""A dump read back: what it was computed from, and which layers it holds."""

import json
from dataclasses import replace

import numpy as np
from safetensors import SafetensorError, safe_open

from reference.bad_input import BadInput
from reference.diff.files import INPUTS
from reference.dump_files import fingerprint
from reference.llmc.names import PARAMETERS, Inputs, Sizes, layered
from reference.questions import check_ids


def read_inputs(folder):
    """The Inputs of a dump; each file is what the manifest says."""
    manifest = read_manifest(folder)
    path = folder / INPUTS
    if manifest["files"].get(INPUTS) != fingerprint(path):
        raise BadInput(f"{path}: is not the file that manifest.json describes: make the dump again")
    try:
        with safe_open(path, "numpy") as file:
            return inputs_of({name: file.get_tensor(name) for name in file.keys()})
    except (SafetensorError, KeyError, ValueError, IndexError) as reason:
        raise BadInput(f"{path}: not the inputs of a dump: {reason}: make the dump again") from None


def inputs_of(arrays):
    """The Inputs that a dump's arrays are. Raises KeyError or ValueError."""
    H, V = (int(number) for number in arrays["sizes"])
    (B, T), (N, C), L = arrays["tokens"].shape, arrays["wpe"].shape, len(arrays["ln1w"])
    if min(L, H, V, N, B, T) < 1 or C % H or T > N:
        raise ValueError(f"no model has sizes H={H}, V={V}, L={L}, C={C}, N={N}, B={B}, T={T}")
    sizes = Sizes(L=L, H=H, D=C // H, V=V, N=N, B=B, T=T)
    params = {}
    for name, axes in PARAMETERS.items():
        array, shape = arrays[name].astype(np.float64), replace(sizes, V=sizes.padded).shape(axes)
        if array.shape != shape:
            raise ValueError(f"{name}: expected {shape}: found {array.shape}")
        parts = enumerate(array) if layered(name) else [(None, array[:V] if name == "wte" else array)]
        params |= {(name, layer): part for layer, part in parts}
    tokens, targets = (arrays[name].astype(np.int64) for name in ("tokens", "targets"))
    if targets.shape != (B, T) or not (targets >= 0).any():
        raise ValueError(f"targets: expected {(B, T)}, one at least not -1: found {targets.shape}")
    check_ids("tokens", tokens, 0, V)
    check_ids("targets", targets, -1, V)
    return Inputs(sizes, params, tokens, targets)


def read_manifest(folder):
    """manifest.json of a dump."""
    path = folder / "manifest.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as reason:
        raise BadInput(f"{path}: not readable as JSON: {reason}") from None
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        raise BadInput(f"{path}: not a manifest of reference dump")
    return manifest


def layers_of(path, sizes):
    """The layers that MINE's stacked tensors hold: all, or those of a dump that was told which."""
    if not (path / "manifest.json").is_file():
        return list(range(sizes.L))
    layers = read_manifest(path).get("layers") or list(range(sizes.L))
    if not isinstance(layers, list) or layers != [layer for layer in range(sizes.L) if layer in layers]:
        raise BadInput(f"{path / 'manifest.json'}: layers must be of 0 to {sizes.L - 1}: found {layers}")
    return layers
