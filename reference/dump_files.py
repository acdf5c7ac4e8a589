"""What a dump's folder holds.

inputs.safetensors    the 16 parameters, tokens and targets: all that is needed to compute the rest
tensors.safetensors   the chosen tensors under llm.c's names and in its shapes, layers stacked; and .npz
debug_state.bin       llm.c's own file of logits, loss and parameter gradients
manifest.json         shapes, conventions, the inputs' origin, SHA-256 of every file
"""

import dataclasses
import fnmatch
import hashlib
import json
from pathlib import Path
from typing import NamedTuple

import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

from reference.bad_input import BadInput
from reference.folders import free_bytes, whole
from reference.llmc.names import ACTIVATIONS, AXES, PARAMETERS, layered
from reference.llmc.parameters import padded, stacked
from reference.memory import require

DTYPES = {"float64": np.float64, "float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
DEBUG_MAGIC, DEBUG_VERSION = 20240327, 2
CONVENTIONS = {
    "names": "activations, parameters and shapes of karpathy/llm.c, train_gpt2.c; the gradient of x is dx",
    "weights": "(out, in); a layered tensor is stacked over layers, in the order of `layers`",
    "loss": "mean of losses over scored targets, in nats; a target of -1 is not scored: its loss is 0",
    "dlosses": "1 / (number of scored targets), 1/(B*T) when all are; so every gradient is of the mean",
    "dlogits": "holds that factor: dlosses * (probs - one-hot)",
    "vocabulary": "logits, probs, wte and their gradients are padded with zeros to a multiple of 128 (Vp)",
    "preatt": "scaled by 1/sqrt(D); 0 where a position does not see; att, datt, dpreatt are 0 there too",
    "residual gradients": "dencoded, dresidual2, dresidual3: what comes past a branch, and through it",
    "dprobs, d*_mean, d*_rstd": "true gradients, that tensor nudged at its place; llm.c leaves zeros there",
    "dwte": "the sum of what the head and what the encoder contribute",
}


def choose(sizes, layers, names):
    """(names, layers) of what is to be written. Raises BadInput for what matches nothing."""
    patterns = [word.strip() for word in names.split(",") if word.strip()]
    chosen = [name for name in AXES if wanted(name, patterns)]
    if not chosen and not set(patterns) - set(PARAMETERS):
        raise BadInput(f"--names: expected tensors, for parameters are written anyhow: found {names!r}")
    for pattern in patterns:
        if not fnmatch.filter(AXES, pattern):
            raise BadInput(f"--names: {pattern!r} matches none of {', '.join(ACTIVATIONS)}, loss, or d<name>")
    words = [word.strip() for word in layers.split(",") if word.strip()]
    if wrong := next((word for word in words if not word.isdecimal() or int(word) >= sizes.L), None):
        raise BadInput(f"--layers: expected numbers from 0 to {sizes.L - 1}: found {wrong!r}")
    return chosen, sorted({int(word) for word in words}) or list(range(sizes.L))


def wanted(name, patterns):
    """Whether a tensor is asked for. Parameters are inputs, and stand in their own file."""
    return name not in PARAMETERS and any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


class Plan(NamedTuple):
    """Where a dump goes, and what of the tensors is in it."""

    folder: str
    layers: str
    names: str
    dtype: str
    formats: list

    def check(self, sizes):
        """Refuse what cannot be written, or not be held in memory, before it is computed."""
        names, layers = choose(sizes, self.layers, self.names)
        folder = Path(self.folder)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise BadInput(f"{folder}: is there already, and not empty: name a new folder")
        require(self.memory(sizes, names), f"a dump of {sizes.words()}")
        needed, free = self.bytes(sizes, names, layers), free_bytes(folder)
        if free is not None and needed > free:
            raise BadInput(f"{folder}: {needed:,} bytes are needed, {free:,} are free there")

    def memory(self, sizes, names):
        """Bytes at the peak: every tensor in float64, what is to be written once more, and once as bytes."""
        written = sizes.count(names) * np.dtype(DTYPES[self.dtype]).itemsize
        at_work = 3 * 8 * sizes.B * sizes.T * sizes.V  # the logits' exponentials, and what is made of them
        return 8 * sizes.count(AXES) + max(at_work, 2 * written, written + 16 * sizes.count(PARAMETERS))

    def bytes(self, sizes, names, layers):
        """Bytes of all files, but for headers of a few kB. Parameters count as float32, which most are."""
        padded = dataclasses.replace(sizes, V=sizes.padded)
        numbers = dataclasses.replace(padded, L=len(layers)).count(names)
        size = {"safetensors": np.dtype(DTYPES[self.dtype]).itemsize}
        size["npz"] = 4 if self.dtype == "bfloat16" else size["safetensors"]
        files = sum(size[word] * numbers for word in self.formats if word in size)
        if "debug-state" in self.formats:
            files += 4 * (sizes.B * sizes.T * (sizes.V + 2) + padded.count(PARAMETERS))
        return files + 4 * padded.count(PARAMETERS) + 8 * sizes.B * sizes.T


def write_dump(plan, inputs, tensors, source):
    """Write the folder, whole or not at all; return a line that says what it holds."""
    names, layers = choose(inputs.sizes, plan.layers, plan.names)
    dtype = DTYPES[plan.dtype]
    arrays = {name: selected(tensors, name, inputs.sizes, layers).astype(dtype) for name in names}
    given = input_arrays(inputs)
    with whole(plan.folder, plan.bytes(inputs.sizes, names, layers)) as folder:
        save(given, folder / "inputs.safetensors")
        if "safetensors" in plan.formats:
            save(arrays, folder / "tensors.safetensors", {"layers": ",".join(map(str, layers))})
        if "npz" in plan.formats:  # knows no bfloat16: float32 holds its values exactly
            plain = np.float32 if plan.dtype == "bfloat16" else dtype
            np.savez(folder / "tensors.npz", **{name: array.astype(plain) for name, array in arrays.items()})
        if "debug-state" in plan.formats:
            (folder / "debug_state.bin").write_bytes(debug_state(inputs, tensors))
        manifest = describe(folder, inputs, tensors, arrays, layers, plan.dtype, source)
        (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
        size = sum(path.stat().st_size for path in folder.iterdir())
    kept = f"{len(arrays)} tensors of {len(layers)} layers, {plan.dtype}, {size:,} bytes"
    return f"{plan.folder}: {kept}; loss {float(tensors['loss', None]):.12f}"


def save(arrays, path, metadata=None):
    """A safetensors file that others may read too: the library makes them private."""
    save_file({name: np.asarray(array, order="C") for name, array in arrays.items()}, path, metadata)
    path.chmod(0o644)


def selected(tensors, name, sizes, layers):
    """A name's array in llm.c's shape, of some layers."""
    if not layered(name):
        return stacked(tensors, name, sizes)
    return padded(np.stack([tensors[name, layer] for layer in layers]), name, sizes)


def input_arrays(inputs):
    """Parameters, tokens and targets by name; float32 where that loses nothing."""
    arrays = {name: stacked(inputs.params, name, inputs.sizes) for name in PARAMETERS}
    if all((array == array.astype(np.float32)).all() for array in arrays.values()):
        arrays = {name: array.astype(np.float32) for name, array in arrays.items()}
    ids = {"tokens": inputs.tokens, "targets": inputs.targets}
    arrays |= {name: np.ascontiguousarray(array, np.int32) for name, array in ids.items()}
    arrays["sizes"] = np.array([inputs.sizes.H, inputs.sizes.V], np.int32)  # all else the shapes tell
    return arrays


def debug_state(inputs, tensors):
    """llm.c's debug state, byte by byte: header, x, y, logits (unpadded), loss, gradients (wte padded)."""
    header = np.zeros(256, "<i4")
    header[:4] = DEBUG_MAGIC, DEBUG_VERSION, inputs.sizes.B, inputs.sizes.T
    floats = [tensors["logits", None], tensors["loss", None]]
    floats += [stacked(tensors, f"d{name}", inputs.sizes) for name in PARAMETERS]
    ids = [np.ascontiguousarray(array, "<i4").tobytes() for array in (inputs.tokens, inputs.targets)]
    values = [np.ascontiguousarray(array, "<f4").tobytes() for array in floats]
    return b"".join([header.tobytes(), *ids, *values])


def describe(folder, inputs, tensors, arrays, layers, dtype, source):
    """The manifest."""
    sizes = inputs.sizes
    return {
        "what": "one forward and one backward pass of GPT-2, computed in float64",
        "sizes": {**dataclasses.asdict(sizes), "C": sizes.C, "Vp": sizes.padded},
        "source": {flag: value for flag, value in source.items() if value is not None},
        "loss": float(tensors["loss", None]).hex(),
        "dtype": dtype,
        "layers": layers,
        "conventions": CONVENTIONS,
        "tensors": {name: {"shape": list(array.shape), "axes": AXES[name]} for name, array in arrays.items()},
        "files": {path.name: fingerprint(path) for path in sorted(folder.iterdir())},
    }


def fingerprint(path):
    """Size and SHA-256 of a file."""
    with open(path, "rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
