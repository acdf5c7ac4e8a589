"""What a dump's folder holds.

inputs.safetensors    the 16 parameters, tokens and targets: all that is needed to compute the rest
tensors.safetensors   the chosen tensors under llm.c's names and in its shapes, layers stacked; and .npz
debug_state.bin       llm.c's own file of logits, loss and parameter gradients
manifest.json         shapes, conventions, the inputs' origin, SHA-256 of every file
"""

import dataclasses
import hashlib
import json

import numpy as np
from safetensors.numpy import save_file

from reference.bad_input import counted
from reference.dump_plan import DTYPES, choose
from reference.folders import whole
from reference.llmc.names import AXES, PARAMETERS, layered
from reference.llmc.parameters import padded, stacked

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


def write_dump(plan, inputs, tensors, source):
    """Write the folder, whole or not at all; return what it holds, and a second line on what is left out."""
    names, layers = choose(inputs.sizes, plan.layers, plan.names)
    reason = plan.left_out(inputs.sizes, names, layers)
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
        if "debug-state" in plan.formats and not reason:
            (folder / "debug_state.bin").write_bytes(debug_state(inputs, tensors))
        alone = not {"safetensors", "npz"} & set(plan.formats)  # then what is in it is all there is
        kept, digits = (debug_tensors(inputs, tensors), "float32") if alone else (arrays, plan.dtype)
        manifest = describe(folder, inputs, tensors, kept, layers, digits, source)
        (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
        size = sum(path.stat().st_size for path in folder.iterdir())
    what = f"{counted(len(kept), 'tensor')} of {counted(len(layers), 'layer')}, {digits}, {size:,} bytes"
    said = f"{plan.folder}: {what}; loss {float(tensors['loss', None]):.12f}"
    return f"{said}\n{plan.folder}: no debug_state.bin, for {reason}" if reason else said


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
    floats = debug_tensors(inputs, tensors).values()
    ids = [np.ascontiguousarray(array, "<i4").tobytes() for array in (inputs.tokens, inputs.targets)]
    values = [np.ascontiguousarray(array, "<f4").tobytes() for array in floats]
    return b"".join([header.tobytes(), *ids, *values])


def debug_tensors(inputs, tensors):
    """What a debug state holds, by name and in its order."""
    logits, loss = tensors["logits", None], np.asarray(tensors["loss", None])
    grads = {f"d{name}": stacked(tensors, f"d{name}", inputs.sizes) for name in PARAMETERS}
    return {"logits": logits, "loss": loss} | grads


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
