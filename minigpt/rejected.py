"""A step that could not be applied, on disk with all that led to it, for `minigpt replay` to run again."""

import json
import os
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minigpt.arrays import Flat, on_host
from minigpt.config import GPTConfig, OptimizerConfig
from minigpt.damage import check_file, is_description
from minigpt.disk import as_path, describe, read_json
from minigpt.errors import CheckpointError, MinigptError
from minigpt.seal import SEAL, difference, sealed
from minigpt.system import flush
from minigpt.weights import load_weights, read_tensors, save_weights, write_tensors

MANIFEST, BATCHES, MOMENTS = "rejected.json", "batches.safetensors", "optimizer.safetensors"
FILES = {"model.safetensors", "config.json", MOMENTS, BATCHES}
HOW = {  # how the step was computed
    "ops": str, "device": str, "dtype": str, "tf32": bool, "products": str, "attention": str
}  # fmt: skip
KINDS = {str: "a text", dict: "an object"}
AGAIN = "copy the folder again, or let the run go on to the step again"
COUNTS = ("step", "updates", "parts")


class Rejected(NamedTuple):
    """What train_step was given, and what it said."""

    config: GPTConfig
    params: Flat
    optimizer: OptimizerConfig
    batches: list  # (tokens, targets) of each part
    step: int  # counted from 1, as the log counts
    updates: int
    how: dict  # what HOW names
    reason: str


def keep(out, trainer, batches, how, reason, state=None):
    """Write out/rejected_%08d and return its path. A rejected step has changed no weight and no moment.

    state: the trainer's with all moments, where other ranks hold some of them. Weights and moments are as
    before the step; rejected.json comes last and vouches for the other files. Raises MinigptError, OSError.
    """
    state = state or trainer.state
    final = Path(out) / f"rejected_{state.step:08d}"
    folder = final.with_name(f".{final.name}.{os.getpid()}.tmp")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        save_weights(folder, trainer.config, state.params.like(on_host(state.params.buffer)))
        moments = {name: state.params.like(on_host(getattr(state, name))) for name in ("first", "second")}
        tensors = {f"{m}.{name}": array for m, flat in moments.items() for name, array in flat.items()}
        write_tensors(folder / MOMENTS, tensors)
        pairs = {f"{name}.{i}": np.asarray(array, np.int64) for i, pair in enumerate(batches)
                 for name, array in zip(("tokens", "targets"), pair, strict=True)}  # fmt: skip
        write_tensors(folder / BATCHES, pairs)
        record = {"step": state.step, "updates": state.updates, "parts": len(batches), "reason": reason}
        record |= {"how": how, "optimizer": vars(trainer.optimizer)}
        record["files"] = {path.name: describe(path) for path in sorted(folder.iterdir())}
        (folder / MANIFEST).write_bytes(sealed(record))
        for path in [*folder.iterdir(), folder]:
            flush(path)
        shutil.rmtree(final, ignore_errors=True)  # the same step of an earlier try
        folder.rename(final)
        flush(final.parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return final


def load(path):
    """A Rejected from its folder, every file checked against its SHA-256. Raises CheckpointError."""
    path = as_path(path)
    if not os.path.isfile(path / MANIFEST):
        raise CheckpointError(f"{path}: expected a folder with {MANIFEST}, as a run leaves it: found none")
    record = read_json(path / MANIFEST)
    seal = record.pop(SEAL, None)
    if seal is None:
        raise CheckpointError(
            f"{path / MANIFEST}: expected its seal, a SHA-256 of itself, found none: "
            f"it is not as a run wrote it; {AGAIN}"
        )
    if (path / MANIFEST).read_bytes() != sealed(record):
        raise CheckpointError(f"{path / MANIFEST} is damaged: {difference(record, seal)}; {AGAIN}")
    check(path, record)
    try:
        optimizer = OptimizerConfig(**record["optimizer"])
    except (TypeError, MinigptError) as reason:
        raise CheckpointError(f"{path / MANIFEST}: optimizer: {reason}") from None
    config, params = load_weights(path)
    tensors = read_tensors(path / BATCHES)
    names = [(f"tokens.{i}", f"targets.{i}") for i in range(record["parts"])]
    if {name for pair in names for name in pair} != set(tensors):
        raise CheckpointError(f"{path / BATCHES}: expected {record['parts']} parts, found {sorted(tensors)}")
    batches = [tuple(tensors[name] for name in pair) for pair in names]
    return Rejected(
        config, params, optimizer, batches, record["step"], record["updates"], record["how"], record["reason"]
    )


def check(path, record):
    """The manifest's own fields, then the files that it vouches for."""
    manifest, how, files = path / MANIFEST, record.get("how"), record.get("files")
    for name in COUNTS:
        if type(record.get(name)) is not int or record[name] < 0:
            raise CheckpointError(f"{manifest}: {name} must be a count: found {record.get(name)!r:.80}")
    for name, kind in {"reason": str, "how": dict, "optimizer": dict, "files": dict}.items():
        if type(record.get(name)) is not kind:
            found = f"{record.get(name)!r:.80}"
            raise CheckpointError(f"{manifest}: {name} must be {KINDS[kind]}: found {found}")
    if {name: type(value) for name, value in how.items()} != HOW:
        raise CheckpointError(f"{manifest}: how must hold {', '.join(HOW)}: found {json.dumps(how)[:80]}")
    if set(files) != FILES:
        raise CheckpointError(f"{manifest}: must vouch for {', '.join(sorted(FILES))}: found {sorted(files)}")
    for name, expected in files.items():
        if not is_description(expected):
            raise CheckpointError(f"{manifest}: {name} must have bytes and sha256: found {expected!r:.80}")
        check_file(path / name, expected, AGAIN)
