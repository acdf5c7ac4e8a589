"""What a dump will hold, and whether there is room for it: known before anything is computed."""

import dataclasses
import fnmatch
from pathlib import Path
from typing import NamedTuple

import ml_dtypes
import numpy as np

from reference.bad_input import BadInput
from reference.folders import free_bytes, refuse_mixing
from reference.llmc.names import ACTIVATIONS, AXES, PARAMETERS
from reference.memory import require

DTYPES = {"float64": np.float64, "float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
DEBUG_STATE = ("logits", "loss", *(f"d{name}" for name in PARAMETERS))  # what llm.c's layout has places for


class Plan(NamedTuple):
    """Where a dump goes, and what of the tensors is in it. asked: whether somebody named the formats."""

    folder: str
    layers: str
    names: str
    dtype: str
    formats: list
    asked: bool = True

    def check(self, sizes):
        """Refuse what cannot be written, or not be held in memory, before it is computed."""
        names, layers = choose(sizes, self.layers, self.names)
        folder = Path(self.folder)
        refuse_mixing(folder)
        if self.asked and (reason := self.left_out(sizes, names, layers)):
            raise BadInput(f"--format: no debug-state can be written, for {reason}: leave it out")
        require(self.memory(sizes, names), f"a dump of {sizes.words()}")
        needed, free = self.bytes(sizes, names, layers), free_bytes(folder)
        if free is not None and needed > free:
            raise BadInput(f"{folder}: {needed:,} bytes are needed, {free:,} are free there")

    def left_out(self, sizes, names, layers):
        """Why there is no debug state, though it is among the formats; or None."""
        if "debug-state" not in self.formats:
            return None
        if missing := [name for name in DEBUG_STATE if name not in names]:
            return f"llm.c's layout holds {missing[0]}, which --names leaves out"
        if len(layers) < sizes.L:
            return f"llm.c's layout holds all {sizes.L} layers, and --layers names {len(layers)}"
        if self.dtype not in ("float64", "float32"):
            return f"llm.c's layout holds float32, and --dtype is {self.dtype}"
        return None

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
        if "debug-state" in self.formats and not self.left_out(sizes, names, layers):
            files += 4 * (sizes.B * sizes.T * (sizes.V + 2) + padded.count(PARAMETERS))
        return files + 4 * padded.count(PARAMETERS) + 8 * sizes.B * sizes.T


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
