"""minigpt convert: weights from any format to another."""

from minigpt.disk import as_path
from minigpt.errors import ConfigError, DataError
from minigpt.tokenizer import TOKENIZER, Tokenizer
from minigpt.vocabularies import file_of
from minigpt.weights import load_weights, save_weights


def convert(command):
    """Convert, carry the tokenizer along, and say what was written."""
    source, target = as_path(command.source, "source"), as_path(command.target, "target")
    if command.dtype and command.format.startswith("llmc"):
        kind = "bfloat16" if command.format == "llmc-bf16" else "float32"
        raise ConfigError(f"--dtype is for safetensors and npz: {command.format} holds {kind}; leave it out")
    config, params = load_weights(source, command.dtype, command.n_head)
    save_weights(target, config, params, command.format)
    carried = carry_tokenizer(source, target) if command.format == "safetensors" else ""
    kept = "bfloat16" if command.format == "llmc-bf16" else "float32" if command.format == "llmc" else None
    print(
        f"{target}: {params.buffer.size:,} parameters as {command.format}, "
        f"{kept or params.buffer.dtype.name}{carried}"
    )
    return 0


def carry_tokenizer(source, target):
    """Write the tokenizer of a source that is a folder, if it has one; the words that say so."""
    try:
        file = file_of(source) if source.is_dir() else None
    except DataError:
        file = None
    if file is None:
        return ""
    Tokenizer.load(file).save(target / TOKENIZER)
    return f", with the tokenizer of {file.name}"
