"""minigpt convert: weights from any format to another."""

import dataclasses
from typing import Literal

from tyro.conf import Positional

from minigpt.disk import as_path
from minigpt.errors import ConfigError, DataError


@dataclasses.dataclass(frozen=True)
class Convert:
    """Read weights in any format and write them in another."""

    source: Positional[str]
    """An OpenAI folder, a safetensors file or folder, a .bin of llm.c, an .npz, a checkpoint."""
    target: Positional[str]
    """Where to write: a folder for safetensors, a file for the others."""
    format: Literal["safetensors", "llmc", "llmc-bf16", "npz"]
    """safetensors (Hugging Face's folder), llmc (float32) or llmc-bf16 (a .bin of llm.c), npz (NumPy)."""
    dtype: Literal["float32", "float64", "float16", "bfloat16"] | None = None
    """For safetensors and npz (not bfloat16). None: as the source has it, halves as float32."""
    n_head: int | None = None
    """Heads, for a source of tensors alone, of another width than GPT-2's own."""

    def run(self):
        """Convert, carry the tokenizer along, and say what was written."""
        from minigpt.weights import load_weights, save_weights

        source, target = as_path(self.source, "source"), as_path(self.target, "target")
        if self.dtype and self.format.startswith("llmc"):
            kind = "bfloat16" if self.format == "llmc-bf16" else "float32"
            raise ConfigError(f"--dtype is for safetensors and npz: {self.format} holds {kind}; leave it out")
        config, params = load_weights(source, self.dtype, self.n_head)
        save_weights(target, config, params, self.format)
        carried = carry_tokenizer(source, target) if self.format == "safetensors" else ""
        kept = "bfloat16" if self.format == "llmc-bf16" else "float32" if self.format == "llmc" else None
        print(
            f"{target}: {params.buffer.size:,} parameters as {self.format}, "
            f"{kept or params.buffer.dtype.name}{carried}"
        )
        return 0


def carry_tokenizer(source, target):
    """Write the tokenizer of a source that is a folder, if it has one; the words that say so."""
    from minigpt.tokenizer import TOKENIZER, Tokenizer
    from minigpt.vocabularies import file_of

    try:
        file = file_of(source) if source.is_dir() else None
    except DataError:
        file = None
    if file is None:
        return ""
    Tokenizer.load(file).save(target / TOKENIZER)
    return f", with the tokenizer of {file.name}"
