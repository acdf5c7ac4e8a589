"""A model as files: from OpenAI's, Hugging Face's, llm.c's and NumPy's formats, and to all but the first."""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from minigpt.arrays import DTYPES, Flat, dtype_of
from minigpt.config import GPTConfig
from minigpt.disk import as_path
from minigpt.door import checked_params
from minigpt.errors import CheckpointError, ConfigError
from minigpt.kinds import Params, StrPath
from minigpt.model import param_shapes
from minigpt.ours import refuse_inputs, refuse_others
from minigpt.weights import hugging_face, llmc, npz
from minigpt.weights.formats import open_weights
from minigpt.weights.found import HALVES, Found, config_of, dtype_of_tensors
from minigpt.weights.hugging_face import hub_config, save_folder
from minigpt.weights.npz import save_npz
from minigpt.weights.safetensors_files import read_tensors, write_tensors
from minigpt.weights.stored import fill

__all__ = ["FORMATS", "hub_config", "load_weights", "read_tensors", "save_weights", "write_tensors"]

STORED = DTYPES | HALVES  # number types of weights in files; minigpt computes in those of DTYPES
FORMATS: dict[str, Callable[[StrPath, GPTConfig, Params], None]] = {
    "safetensors": save_folder,
    "llmc": llmc.save_llmc,
    "llmc-bf16": partial(llmc.save_llmc, version=llmc.BFLOAT16),
    "npz": save_npz,
}
PLACES = {
    "safetensors": hugging_face.places, "llmc": llmc.places, "llmc-bf16": llmc.places, "npz": npz.places
}  # fmt: skip


def load_weights(
    path: StrPath, dtype: str | None = None, n_head: int | None = None
) -> tuple[GPTConfig, Flat]:
    """config and params from OpenAI's folder, safetensors, a model of llm.c, an .npz, a checkpoint of a run.

    dtype: None keeps the numbers as they are, and halves (float16, bfloat16) come as float32; any of these
    four rounds them to the nearest. n_head: for files of tensors alone, of another width than GPT-2's own.
    Raises CheckpointError, also where there is nothing, or a number that dtype cannot hold.
    """
    return read_weights(open_weights(as_path(path)), dtype, n_head)


def read_weights(found: Found, dtype: str | None, n_head: int | None) -> tuple[GPTConfig, Flat]:
    """The same of files that are open already."""
    config = config_of(found, n_head)
    params = Flat.zeros(param_shapes(config), dtype_of(dtype or dtype_of_tensors(found), STORED))
    for name, param in params.items():
        fill(param, found.tensors[name])
    return config, params


def save_weights(path: StrPath, config: GPTConfig, params: Params, format: str = "safetensors") -> None:
    """Write params for load_weights and others: "safetensors" a folder, "llmc", "llmc-bf16", "npz" a file.

    A file is there whole or not at all, and replaces none but one of its kind. Raises ConfigError (format)
    and CheckpointError (params, path).
    """
    if not isinstance(format, str) or format not in FORMATS:
        raise ConfigError(f"format must be one of {', '.join(FORMATS)}: found {format!r}")
    params = checked_params(config, params, STORED)
    path = as_path(path)
    refuse_lost(path, format)
    try:
        FORMATS[format](path, config, params)
    except (OSError, ValueError) as reason:
        if isinstance(reason, CheckpointError):
            raise
        raise CheckpointError(f"{path}: cannot be written: {reason}") from None


def refuse_lost(path: Path, format: str, inputs: Iterable[Path] = ()) -> None:
    """A CheckpointError if weights written to path would replace anything but weights of the same format.

    inputs: files that are read, which are not replaced in any case.
    """
    if not path.name:
        raise CheckpointError(f"path must name a file or a folder of its own: found {str(path)!r}")
    for file, is_ours in PLACES[format](path):
        refuse_inputs(file, inputs, CheckpointError)
        refuse_others(file, is_ours, CheckpointError)
