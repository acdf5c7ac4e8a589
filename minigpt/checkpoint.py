"""A run's state as a folder, complete, proven to read back, or not there at all.

In a folder of a temporary name: files, each on the disk; last state.json, which holds their sizes and
SHA-256, and its own; the folder's names on the disk; all read back from there. Only then comes the rename
that makes it a checkpoint, and after the disk knows of that, older ones go.
"""

import contextlib
import errno
import shutil
from typing import NamedTuple

from minigpt.arrays import device_of, on_host
from minigpt.disk import as_json, as_path, remove_folder, write_file
from minigpt.errors import CheckpointError
from minigpt.guard import Window
from minigpt.promises import STATE, VERSION, checked_record
from minigpt.seal import sealed
from minigpt.shelf import leftovers, path_of, prune, set_aside, temporary_of
from minigpt.system import flush, forget
from minigpt.tokenizer import TOKENIZER
from minigpt.train import new_state
from minigpt.vocabularies import hugging_face as tokenizer_files
from minigpt.weights import hub_config, load_weights
from minigpt.weights.hugging_face import CONFIG, TENSORS
from minigpt.weights.safetensors_bytes import safetensors_bytes
from minigpt.weights.safetensors_files import open_safetensors
from minigpt.weights.stored import fill

MOMENTS = ("first", "second")  # optimizer.safetensors holds "first.wte.weight", "second.wte.weight", ...
OPTIMIZER = "optimizer.safetensors"
FROM_THE_SEED = "none: batches, samples and initial weights are functions of seed and step"


class Snapshot(NamedTuple):
    """All that goes into a checkpoint, in memory of its own: the run may go on while it is written."""

    step: int
    files: dict  # name -> pieces of bytes
    record: dict  # state.json, but for what it says of the files

    @property
    def size(self):
        """Bytes of all files, nearly."""
        return sum(len(piece) for pieces in self.files.values() for piece in pieces)


def snapshot(config, state, settings, tokenizer, about=None, moments_are_copies=False):
    """A copy of a training state.

    settings: a dict of what a resumed run must have in common with this one. about: what else is worth
    knowing of the run. tokenizer: one, or its files as files_of gives them. moments_are_copies: nobody else
    will change first and second. Raises CheckpointError where there is no memory for a copy.
    """
    files = dict(tokenizer) if isinstance(tokenizer, dict) else files_of(tokenizer)
    try:
        params = state.params.like(copied(state.params.buffer))
        keep = on_host if moments_are_copies else copied
        moments = {m: params.like(keep(getattr(state, m))) for m in MOMENTS}
    except MemoryError:
        needed = (1 + len(MOMENTS)) * state.params.buffer.nbytes
        raise CheckpointError(
            f"step {state.step}: not saved: a copy of weights and moments needs {needed:,} bytes of memory"
        ) from None
    tensors = {f"{m}.{name}": array for m in MOMENTS for name, array in moments[m].items()}
    files |= {
        CONFIG: [as_json(hub_config(config))],
        TENSORS: safetensors_bytes(params, {"format": "pt"}),  # transformers asks for this word
        OPTIMIZER: safetensors_bytes(tensors),
    }
    record = {"version": VERSION, "step": state.step, "updates": state.updates}
    record |= {"guard": state.guard.plain(), "random": FROM_THE_SEED, "settings": settings}
    return Snapshot(state.step, files, record | (about or {}))


def copied(array):
    """A copy in this machine's memory."""
    return array.copy() if device_of(array) == "numpy" else on_host(array)


def files_of(tokenizer):
    """A tokenizer's files, name -> pieces: they stay the same through a run, and take a while to make."""
    content, config = tokenizer_files.contents(tokenizer)
    return {TOKENIZER: [content], tokenizer_files.CONFIG: [config]}


def save(out, config, state, settings, tokenizer, keep=3, keep_every=0):
    """Write out/step_%08d and return its path: snapshot and write at once. Raises CheckpointError."""
    return write(out, snapshot(config, state, settings, tokenizer), keep, keep_every)


def write(out, taken, keep=3, keep_every=0):
    """Write a Snapshot as out/step_%08d and return its path; then delete older ones, as shelf.prune says.

    Raises CheckpointError where the disk does not take it, or gives back something else; what was there
    before is there then, too.
    """
    final = path_of(out, taken.step)
    folder = temporary_of(final)
    try:
        for old in leftovers(out):
            remove_folder(old)
        refuse_full(final.parent, taken.size)
        record = written(folder, taken)
        if is_same(final, record):  # of a run that was stopped here
            remove_folder(folder)
        else:
            if final.exists():  # damaged, or of another run
                set_aside(final, "replaced")
            folder.rename(final)
            flush(final.parent)
    except BaseException as error:
        remove_folder(folder)
        if not isinstance(error, (OSError, MemoryError)):
            raise
        why = getattr(error, "strerror", None) or "no memory is left"
        raise CheckpointError(f"{final}: cannot be written: {why}{room(final, taken)}") from None
    with contextlib.suppress(OSError):  # the new one is there: what is too much goes the next time
        prune(final.parent, keep, keep_every, final)
    return final


def written(folder, taken):
    """A folder with a Snapshot's files, all on the disk; what state.json says, after it was read back."""
    folder.mkdir()
    files = {name: write_file(folder / name, pieces) for name, pieces in sorted(taken.files.items())}
    write_file(folder / STATE, [sealed(taken.record | {"files": files})])
    flush(folder)
    for path in folder.iterdir():
        forget(path)
    return checked_record(folder)


def refuse_full(folder, needed):
    """The error that a full disk would end in, before anything is written to it."""
    if shutil.disk_usage(folder).free < needed:
        raise OSError(errno.ENOSPC, "no space left on the disk")


def room(final, taken):
    """How many bytes a checkpoint takes and how many there are, for people."""
    try:
        free = f"{shutil.disk_usage(final.parent).free:,}"
    except OSError:
        free = "an unknown number"
    return f"; it needs {taken.size:,} bytes, {free} are free in {final.parent}"


def is_same(path, record):
    """Whether a checkpoint is sound and holds what a record says."""
    try:
        found = checked_record(path)
    except CheckpointError:
        return False
    return all(found[key] == record[key] for key in ("step", "updates", "guard", "settings", "files"))


def load(path):
    """config, state and settings of a checkpoint, after checking every file against its SHA-256.

    Raises CheckpointError with the file that is missing or damaged.
    """
    path = as_path(path)
    record = checked_record(path)
    config, params = load_weights(path)
    state = new_state(params)
    fill_moments(path / OPTIMIZER, {m: params.like(getattr(state, m)) for m in MOMENTS})
    try:
        window = Window.of(record["guard"])
    except ValueError as reason:
        raise CheckpointError(f"{path / STATE}: guard: {reason}") from None
    state = state._replace(step=record["step"], updates=record["updates"], guard=window)
    return config, state, record["settings"]


def fill_moments(path, moments):
    """Read AdamW's two means, laid out like the parameters."""
    tensors = open_safetensors(path)
    for m, flat in moments.items():
        for name, out in flat.items():
            stored = tensors.get(f"{m}.{name}")
            if stored is None or stored.shape != out.shape or stored.dtype != out.dtype:
                found = f"{stored.dtype} of shape {stored.shape}" if stored else "no such tensor"
                raise CheckpointError(
                    f"{path}: {m}.{name}: expected {out.dtype} of shape {out.shape}, found {found}"
                )
            fill(out, stored)
