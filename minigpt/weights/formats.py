"""Which format a path is in, by what is in the folder or by the first bytes of the file, not by its name."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from minigpt.disk import forbidden
from minigpt.errors import CheckpointError
from minigpt.shelf import checkpoints
from minigpt.weights import hugging_face, llmc, npz, openai
from minigpt.weights.sstable import is_table
from minigpt.weights.stored import opened, refuse
from minigpt.weights.strangers import ELSEWHERE, HEAD, PICKLE, stranger
from minigpt.weights.tensor_bundle import SAVER, V1, index_of

PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json", "consolidated.00.pth")


class Format(NamedTuple):
    """A kind of weights: its name for people, and open(path) -> Found."""

    name: str
    open: Callable


OPENAI = Format("OpenAI's checkpoint (a TensorFlow tensor bundle)", openai.open_openai)
FOLDER = Format("a folder in the layout of the Hugging Face hub", hugging_face.open_hugging_face)
CHECKPOINT = Format("a checkpoint of minigpt", hugging_face.open_checkpoint)
SAFETENSORS = Format("a safetensors file", hugging_face.open_hugging_face)
INDEX = Format("the index of several safetensors files", hugging_face.open_hugging_face)
LLMC_MODEL = Format("a model of llm.c", llmc.open_llmc)
NPZ = Format("a NumPy archive (.npz)", npz.open_npz)


def open_weights(path):
    """The Found of any weights. Raises CheckpointError, which names what a stranger is."""
    return format_of(path).open(path)


def format_of(path):
    """The Format of a path, or a CheckpointError that names what it is instead, and says what to do."""
    try:
        if path.is_dir():
            return format_of_folder(path)
        if index := index_of(path):
            if index.exists() or not path.exists():
                return OPENAI
            refuse(index, "the index of a tensor bundle beside its data", "no such file", "fetch it too")
    except PermissionError as reason:
        raise forbidden(path, reason) from None
    except (OSError, ValueError) as reason:
        if isinstance(reason, CheckpointError):
            raise
        raise CheckpointError(f"{path}: not readable: {reason}") from None
    return format_of_file(path)


def format_of_folder(path):
    """The Format of a folder."""
    names = {entry.name for entry in path.iterdir()}
    if "state.json" in names:
        return CHECKPOINT
    if names & {hugging_face.TENSORS, hugging_face.INDEX}:
        return FOLDER
    if index_of(path):
        return OPENAI
    for table in path.glob("*ckpt*"):
        if table.is_file() and is_table(ends(table)[1]):
            refuse(table, "a tensor bundle", V1, SAVER)
    if steps := checkpoints(path):
        refuse(path, "weights", "a run's folder", f"give one of its checkpoints, {steps[-1]}")
    if pickles := sorted(names.intersection(PICKLES)):
        refuse(path / pickles[0], "weights", *PICKLE)
    if names & {hugging_face.CONFIG, "hparams.json"}:
        missing = hugging_face.TENSORS if hugging_face.CONFIG in names else "model.ckpt.index"
        raise CheckpointError(f"{path / missing}: no such file; fetch the folder again")
    refuse(path, "a folder with model.safetensors, or OpenAI's model.ckpt", "neither", ELSEWHERE)


def format_of_file(path):
    """The Format of a file."""
    head, tail, size = ends(path)
    if size == 0:
        refuse(path, "weights", "an empty file", "fetch it, or make it, again")
    if head[4:9] == b"\0\0\0\0{":  # first, for the length of its header may begin like anything
        return SAFETENSORS
    if magic_of(head) == llmc.MAGIC:
        return LLMC_MODEL
    if head.startswith(b"PK\x03\x04"):
        return NPZ
    if is_table(tail):
        return OPENAI
    if head.lstrip()[:1] == b"{" and path.name.endswith(".index.json"):
        return INDEX
    found = stranger(head, size)
    if path.suffix == ".safetensors" and not found:
        return SAFETENSORS  # a damaged one: its reader says how
    refuse(path, "weights", *(found or (f"a file that begins with {head[:8].hex(' ')}", ELSEWHERE)))


def ends(path):
    """(first bytes, last bytes, size) of a file."""
    with opened(Path(path)) as file:
        try:
            head = file.read(HEAD)
            size = file.seek(0, 2)
            file.seek(max(0, size - HEAD))
            return head, file.read(HEAD), size
        except OSError as reason:
            raise CheckpointError(f"{path}: not readable: {reason}") from None


def magic_of(head):
    """The first int32 of a file, which llm.c's formats differ in."""
    return int.from_bytes(head[:4], "little") if len(head) >= 4 else None
