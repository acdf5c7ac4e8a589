"""minigpt convert: weights from any format to another."""

from minigpt import vocabularies
from minigpt.disk import as_path
from minigpt.errors import ConfigError, DataError
from minigpt.tokenizer import TOKENIZER, Tokenizer
from minigpt.weights import read_weights, refuse_lost, save_weights
from minigpt.weights.formats import open_weights


def convert(command):
    """Convert, carry the tokenizer along, and say what was written."""
    source, target = as_path(command.source, "source"), as_path(command.target, "target")
    if command.dtype and command.format.startswith("llmc"):
        kind = "bfloat16" if command.format == "llmc-bf16" else "float32"
        raise ConfigError(f"--dtype is for safetensors and npz: {command.format} holds {kind}; leave it out")
    found = open_weights(source)
    file = tokenizer_in(source) if command.format == "safetensors" else None
    check_target(target, command.format, found, file)
    tokenizer = Tokenizer.load(file) if file else None
    config, params = read_weights(found, command.dtype, command.n_head)
    save_weights(target, config, params, command.format)
    if tokenizer:
        tokenizer.save(target / TOKENIZER)
    kept = "bfloat16" if command.format == "llmc-bf16" else "float32" if command.format == "llmc" else None
    print(
        f"{target}: {params.buffer.size:,} parameters as {command.format}, "
        f"{kept or params.buffer.dtype.name}{f', with the tokenizer of {file.name}' if file else ''}"
    )
    return 0


def check_target(target, format, found, tokenizer):
    """Refuse, before numbers are read, to write over what is read or is of another kind."""
    inputs = {stored.file.path for stored in found.tensors.values()} | {found.path, found.source}
    inputs |= {tokenizer} - {None}
    refuse_lost(target, format, sorted(inputs))
    if tokenizer:
        vocabularies.refuse_lost(target / TOKENIZER, sorted(inputs))


def tokenizer_in(source):
    """The tokenizer's file in a source that is a folder, or None."""
    try:
        return vocabularies.file_of(source) if source.is_dir() else None
    except DataError:
        return None
