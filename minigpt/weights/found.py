"""What any format comes down to: arrays in files by the model's names, and words about the model's size."""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import ml_dtypes
import numpy as np

from minigpt.config import GPTConfig, whole_between
from minigpt.errors import CheckpointError, ConfigError
from minigpt.model import param_shapes
from minigpt.weights.stored import Stored, refuse

# Radford et al. 2019, table 2; head counts from openai/gpt-2's hparams.json
HEADS = {768: 12, 1024: 16, 1280: 20, 1600: 25}
HALVES = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
LAYER = re.compile(r"h\.(\d{1,5})\.")


class Found(NamedTuple):
    """A model in files: tensors by the names of model.param_shapes, and what is written about it.

    words: GPTConfig's fields, all, n_head alone, or none. source: where they stand, for messages.
    """

    path: Path
    tensors: Mapping[str, Stored]
    words: Mapping[str, int]
    source: Path


def config_of(found, n_head=None):
    """The GPTConfig of what was found, after checking every name and shape against it.

    n_head: given by the user, it must not contradict what is written. Raises CheckpointError.
    """
    if n_head is not None:
        n_head = whole_between("n_head", n_head, 1)
    words = dict(found.words)
    if n_head and words.setdefault("n_head", n_head) != n_head:
        refuse(found.source, f"n_head={n_head}, which was given", f"{words['n_head']}", "leave n_head out")
    if len(words) < len(GPTConfig.__dataclass_fields__):
        sizes = sizes_of(found)
        words = sizes | {"n_head": words.get("n_head") or heads_of(found, sizes["n_embd"])}
    try:
        config = GPTConfig(**words)
    except ConfigError as reason:
        raise CheckpointError(f"{found.source}: not a GPT-2 configuration: {reason}") from None
    check_shapes(found, config)
    return config


def sizes_of(found):
    """GPTConfig's fields but n_head, as the tensors' shapes say."""
    tables = [found.tensors.get(name) for name in ("wte.weight", "wpe.weight")]
    if any(table is None or len(table.shape) != 2 for table in tables):
        names = ", ".join(list(found.tensors)[:3]) or "none"
        advice = "is it a GPT-2, with the names of openai/gpt-2 or the Hugging Face hub?"
        refuse(found.path, "matrices wte.weight and wpe.weight among its tensors", names, advice)
    layers = {int(match[1]) for name in found.tensors if (match := LAYER.match(name))}
    (n_vocab, n_embd), (n_ctx, _) = (table.wanted_shape for table in tables)
    return {"n_layer": 1 + max(layers, default=0), "n_embd": n_embd, "n_ctx": n_ctx, "n_vocab": n_vocab}


def heads_of(found, n_embd):
    """The number of heads of GPT-2's own widths: shapes do not show it."""
    if n_embd not in HEADS:
        widths = ", ".join(map(str, HEADS))
        refuse(
            found.path,
            f"a width of GPT-2's own ({widths}), as nothing says how many heads there are",
            f"n_embd={n_embd}",
            "say n_head= (--n-head)",
        )
    return HEADS[n_embd]


def check_shapes(found, config):
    """A CheckpointError unless there are exactly the model's names and shapes."""
    tensors = found.tensors
    # of more layers than tensors, one is missing in any case: the names of 10,000 layers are not made for it
    layers = min(config.n_layer, 1 + len(tensors))
    expected = param_shapes(dataclasses.replace(config, n_layer=layers))
    if missing := [name for name in expected if name not in tensors]:
        shown = f"{missing[0]!r} missing, {len(tensors):,} tensors"
        refuse(found.path, f"the tensors of {config}", shown, "is it whole?")
    if unknown := [name for name in tensors if name not in expected]:
        shown = f"{len(unknown)} unknown, first {unknown[0]!r}"
        refuse(found.path, f"only the tensors of {config}", shown, "remove them")
    for name, shape in expected.items():
        if tensors[name].wanted_shape != shape:
            refuse(
                f"{found.path}: {name}",
                f"shape {shape} by {found.source.name}",
                f"shape {tensors[name].wanted_shape}",
                "do both belong together?",
            )


def dtype_of_tensors(found):
    """The one type that holds all numbers as they are: float64 for float64, else float32.

    Halves (float16, bfloat16) come as float32, which represents each of their numbers.
    """
    names = {stored.dtype.name for stored in found.tensors.values()}
    if names == {"float64"}:
        return np.float64
    if names <= {"float32", *HALVES}:
        return np.float32
    shown = ", ".join(sorted(names))
    refuse(found.path, "all float64, or all float32 and halves", shown, "convert them first")
