"""The memory that one rank's step takes, part by part, with and without ZeRO-1 and recomputing; what fits."""

import math
from bisect import bisect_right

import numpy as np

from minigpt import memory
from minigpt.cores import available_cores
from minigpt.planning import cpu_memory

ALWAYS = ("weights", "masters", "gradients", "moments")
ATTENTION = ("lse", "probs")  # what forward keeps of attention besides qkv: a number a row, or all of them
ONE = "one block, made anew"


def parts_of(asked, batch, zero, recompute):
    """Bytes at the peak of a step, part -> bytes; their sum is all."""
    found = counted(asked, batch)
    if "weights in bfloat16" in found:
        found = {"weights": found.pop("weights in bfloat16"), "masters": found.pop("weights"), **found}
    if zero:
        found["moments"] = math.ceil(found["moments"] / asked.gpus)
    return recomputing(asked, batch, found) if recompute else found


def counted(asked, batch):
    """As minigpt does it on one rank."""
    config, T = asked.config, asked.config.n_ctx
    if asked.on_cores:
        return cpu_memory.step_bytes(config, batch, T, size_of(asked), table(asked), available_cores())
    return memory.step_bytes(config, batch, T, asked.dtype, attention=asked.options.attention)


def recomputing(asked, batch, parts):
    """The same if forward kept of each block what goes into it alone, and backward made one block anew."""
    L, size = asked.config.n_layer, size_of(asked)
    blocks = {name: n for name, n in parts.items() if name.startswith(f"{L} x ")}
    rest = {name: n for name, n in parts.items() if name not in blocks}
    x = L * batch * asked.config.n_ctx * asked.config.n_embd * size
    before = [name for name in rest if name in ALWAYS or name == "tokens and targets"]
    kept = {f"{L} x x": x, ONE: sum(blocks.values()) // L}
    return {name: rest.pop(name) for name in before} | kept | rest


def size_of(asked):
    """Bytes of a number of the activations."""
    return 2 if asked.dtype == "bfloat16" else np.dtype(asked.dtype).itemsize


def table(asked):
    """The name of the ops table that works on cores: float64 has no kernels."""
    return "reference" if asked.dtype == "float64" else asked.options.ops


def largest_batch(asked, zero, recompute):
    """The most windows of a micro-batch that fit; 0 if not even one does, None if memory is not known."""
    if math.isinf(asked.memory):
        return None
    spare = 0 if asked.on_cores else memory.OTHERS
    sizes = range(1, memory.MOST + 1)
    return bisect_right(
        sizes, asked.memory - spare, key=lambda batch: sum(parts_of(asked, batch, zero, recompute).values())
    )


def grouped(parts):
    """The parts as people speak of them: activations by name and attention's own, each of all blocks."""
    found = {"always": {}, "activations": {}, "attention": {}, "logits": 0, "other": {}}
    for name, n in parts.items():
        short = name.rpartition(" x ")[2]
        if name in ALWAYS:
            found["always"][name] = n
        elif name == "logits":
            found["logits"] = n
        elif short in ATTENTION:
            found["attention"][short] = n
        elif short != name or name in ("ln_f", ONE):
            found["activations"][short] = n
        else:
            found["other"][name] = n
    return found


def cache_bytes(config, size):
    """Of generation: keys and values of one token in all layers; 2 L C numbers (decode.Cache)."""
    return 2 * config.n_layer * config.n_embd * size
