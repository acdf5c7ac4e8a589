"""minigpt download: GPT-2's published weights and vocabulary, from OpenAI or from the Hugging Face hub."""

import dataclasses
import json
import math
import os
import shutil
import urllib.parse
from typing import Annotated, Literal

import tyro

from minigpt.errors import CheckpointError
from minigpt.screen import say

OPENAI = "https://openaipublic.blob.core.windows.net/gpt-2/models"
HUB = "https://huggingface.co"
SIZES = {"gpt2": "124M", "gpt2-medium": "355M", "gpt2-large": "774M", "gpt2-xl": "1558M"}
TABLE_MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")  # the end of every tensor bundle's index

# bytes and SHA-256 of OpenAI's vocabulary files, the same for all sizes
VOCABULARY = {
    "vocab.bpe": (456_318, "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5"),
    "encoder.json": (1_042_301, "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783"),
}

# how files begin whose names other people use too; weights and their index have names of their own
POINTER = b"model_checkpoint_path:"
JSON = ("hparams.json", "encoder.json", "config.json", "tokenizer.json", "vocab.json")
BEGINNINGS = dict.fromkeys(JSON, b"{") | {"vocab.bpe": b"#version", "checkpoint": POINTER}


@dataclasses.dataclass(frozen=True)
class Download:
    """Fetch GPT-2's published weights. Run it again after an interruption: it goes on where it stopped."""

    model: tyro.conf.Positional[Literal["gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl"]]
    """124, 355, 774 or 1,558 million parameters: 0.5, 1.4, 3.1 or 6.2 GB."""
    from_: Annotated[Literal["openai", "hub"], tyro.conf.arg(name="from")] = "openai"
    """openai (the release of 2019), or hub (the Hugging Face hub's safetensors)."""
    out: str | None = None
    """The folder. None: models/MODEL-FROM."""

    def run(self):
        """Fetch what is missing and say where it is; 75 if stopped by Ctrl-C. Raises CheckpointError."""
        from minigpt.disk import as_path, lock_folder
        from minigpt.stop import RESUMABLE

        folder = as_path(f"models/{self.model}-{self.from_}" if self.out is None else self.out, "--out")
        wanted = FILES[self.from_](self.model, folder)
        make_folder(folder)
        lock = lock_folder(folder, "minigpt download", CheckpointError)
        try:
            already = complete(wanted)
        except KeyboardInterrupt:
            say(f"{folder}: stopped; the same command goes on from here\n")
            return RESUMABLE
        finally:
            os.close(lock)
        already = f", {already} of {len(wanted)} files were there" if already else ""
        say(f"{folder}: complete{already}\n")
        return 0


def make_folder(folder):
    """A folder to write to, or a CheckpointError that says why it cannot be one."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise CheckpointError(f"{folder}: expected a folder, found a file; give another --out") from None
    except OSError as reason:
        raise CheckpointError(f"{folder}: cannot be made: {reason.strerror}; give another --out") from None


def complete(wanted):
    """Fetch those of the files that are not there yet, and return how many were."""
    from minigpt.fetch import check_file, fetch
    from minigpt.ours import begins_with, refuse_others

    missing = []
    for file in wanted:
        try:
            check_file(file, file.path)
        except CheckpointError:
            missing.append(file)
    for file in missing:  # a damaged one is fetched again, another's is not written over
        refuse_others(file.path, begins_with(file.begins), CheckpointError)
    check_room(missing)
    for file in missing:
        say(f"{file.path}: {fetch(file):,} bytes\n")
    return len(wanted) - len(missing)


def openai_files(model, folder):
    """OpenAI's folder, without model.ckpt.meta, the graph, which nobody needs for the weights."""
    from minigpt.fetch import Wanted

    base = f"{endpoint('MINIGPT_OPENAI_ENDPOINT', OPENAI)}/{SIZES[model]}"

    def file(name, size=None, sha256=None, check=None):
        return Wanted(f"{base}/{name}", folder / name, size, sha256, check, BEGINNINGS.get(name, b""))

    return [
        file("hparams.json", check=check_json),
        *(file(name, *known) for name, known in VOCABULARY.items()),
        file("checkpoint", check=check_pointer),
        file("model.ckpt.index", check=check_index),
        file("model.ckpt.data-00000-of-00001", size=4 * count_params(model)),  # float32, nothing between
    ]


def hub_files(model, folder):
    """The hub's safetensors, whose SHA-256 the hub tells on the way, and the tokenizer."""
    from minigpt.fetch import Wanted

    base = f"{endpoint('HF_ENDPOINT', HUB)}/openai-community/{model}/resolve/main"
    checks = {
        "config.json": check_json,
        "tokenizer.json": check_json,
        "vocab.json": check_json,
        "merges.txt": None,
        "model.safetensors": check_tensors,
    }
    return [
        Wanted(f"{base}/{name}", folder / name, check=check, begins=BEGINNINGS.get(name, b""))
        for name, check in checks.items()
    ]


FILES = {"openai": openai_files, "hub": hub_files}


def endpoint(variable, default):
    """A mirror's address if the environment names one (HF_ENDPOINT is huggingface_hub's own variable)."""
    address = os.environ.get(variable) or default
    try:
        parts = urllib.parse.urlsplit(address)
    except ValueError:
        parts = urllib.parse.SplitResult("", "", "", "", "")
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise CheckpointError(f"{variable}: expected an address such as https://a.host, found {address!r}")
    return address.rstrip("/")


def count_params(model):
    """Numbers in a published model."""
    from minigpt.config import PRESETS
    from minigpt.model import param_shapes

    return sum(map(math.prod, param_shapes(PRESETS[model]).values()))


def check_room(missing):
    """Refuse to begin what the disk has no room for; what has come of a file needs none."""
    need = sum(file.size or 0 for file in missing)
    for file in missing:
        part = file.path.with_name(f"{file.path.name}.part")
        need -= part.stat().st_size if file.size and part.exists() else 0
    if missing and need > (free := shutil.disk_usage(missing[0].path.parent).free):
        raise CheckpointError(f"{missing[0].path.parent}: needs {need:,} bytes, the disk has {free:,}")


# What a file of unknown size must at least be ------------------------------------------------------------


def check_json(path):
    """A JSON object."""
    try:
        whole = isinstance(json.loads(path.read_text(encoding="utf-8")), dict)
    except (ValueError, RecursionError):
        whole = False
    if not whole:
        raise CheckpointError(f"{path}: expected a JSON object, found {path.read_bytes()[:40]!r}")


def check_pointer(path):
    """TensorFlow's note of which checkpoint is the newest."""
    if not path.read_bytes().startswith(POINTER):
        raise CheckpointError(
            f"{path}: expected 'model_checkpoint_path: ...', found {path.read_bytes()[:40]!r}"
        )


def check_index(path):
    """A table of a tensor bundle, to its last byte; the checksums within are load_weights' to check."""
    end = path.read_bytes()[-8:]
    if end != TABLE_MAGIC:
        raise CheckpointError(f"{path}: expected {TABLE_MAGIC.hex()} at the end, found {end.hex()}")


def check_tensors(path):
    """A safetensors file that is as long as its header says."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy"):
            pass
    except SafetensorError as reason:
        raise CheckpointError(f"{path}: not a whole safetensors file: {reason}") from None
