"""A run's state on disk: written to a temporary name, flushed, renamed, so that none is ever half there."""

import os
import platform
import re
import shutil
from pathlib import Path

import numpy as np

from minigpt.arrays import Flat, on_host
from minigpt.disk import as_path, describe, flush, write_json
from minigpt.errors import CheckpointError
from minigpt.promises import checked_record
from minigpt.tokenizer import TOKENIZER
from minigpt.train import new_state
from minigpt.weights import load_weights, read_tensors, save_weights, write_tensors

NAME = re.compile(r"step_(\d{8,})")
MOMENTS = ("first", "second")  # optimizer.safetensors holds "first.wte.weight", "second.wte.weight", ...


def save(out, config, state, settings, tokenizer, keep=3):
    """Write out/step_%08d and return its path; then delete all but the newest `keep`.

    The folder opens like any weights' folder; optimizer.safetensors holds AdamW's two means. state.json
    comes last and vouches for all others with their sizes and SHA-256.
    settings: a dict of what a resumed run must have in common with this one.
    """
    final = Path(out) / f"step_{state.step:08d}"
    folder = final.with_name(f".{final.name}.{os.getpid()}.tmp")
    shutil.rmtree(folder, ignore_errors=True)
    params = state.params.like(on_host(state.params.buffer))
    save_weights(folder, config, params)
    moments = {m: params.like(on_host(getattr(state, m))) for m in MOMENTS}
    tensors = {f"{m}.{name}": array for m in MOMENTS for name, array in moments[m].items()}
    write_tensors(folder / "optimizer.safetensors", tensors)
    tokenizer.save(folder / TOKENIZER)
    write_state(folder, state, settings)

    if is_same(final, folder):  # saved already, by a run that was stopped here: leave it alone
        shutil.rmtree(folder)
        return final
    if final.exists():  # damaged, or of another run
        final.rename(final.with_name(f".{final.name}.{os.getpid()}.old.tmp"))
    folder.rename(final)
    flush(final.parent)
    for old in [*checkpoints(out)[:-keep], *leftovers(out)]:
        shutil.rmtree(old, ignore_errors=True)
    return final


def write_state(folder, state, settings):
    """state.json: where the run stands, and what the folder's other files must be."""
    files = {path.name: describe(path) for path in sorted(folder.iterdir())}
    record = {"step": state.step, "updates": state.updates, "settings": settings, "files": files}
    versions = {"python": platform.python_version(), "numpy": np.__version__}
    write_json(folder / "state.json", record | {"versions": versions})
    for path in [*folder.iterdir(), folder]:
        flush(path)


def load(path):
    """config, state and settings of a checkpoint, after checking every file against its SHA-256.

    Raises CheckpointError with the file that is missing or damaged.
    """
    path = as_path(path)
    record = checked_record(path)
    config, params = load_weights(path)
    tensors = read_tensors(path / "optimizer.safetensors")
    moments = {m: packed_moment(path, params, tensors, m) for m in MOMENTS}
    state = new_state(params)._replace(step=record["step"], updates=record["updates"], **moments)
    return config, state, record["settings"]


def is_same(one, other):
    """Whether two checkpoints are both sound and hold the same."""
    try:
        return checked_record(one) == checked_record(other)
    except CheckpointError:
        return False


def packed_moment(path, params, tensors, moment):
    """One of AdamW's two means, laid out like params."""
    arrays = {name: tensors.get(f"{moment}.{name}") for name in params}
    for name, array in arrays.items():
        if np.shape(array) != params[name].shape:
            raise CheckpointError(
                f"{path / 'optimizer.safetensors'}: {moment}.{name}: expected shape {params[name].shape}, "
                f"found {'no such tensor' if array is None else array.shape}"
            )
    return Flat.pack(arrays, params.buffer.dtype).buffer


def leftovers(out):
    """Temporary folders, of this save or of a run that was killed in one; one run at a time uses a folder."""
    return list(Path(out).glob(".step_*.tmp"))


def checkpoints(out):
    """The run's checkpoints, oldest first."""
    folders = [path for path in Path(out).glob("step_*") if NAME.fullmatch(path.name)]
    return sorted(folders, key=lambda path: int(NAME.fullmatch(path.name)[1]))
