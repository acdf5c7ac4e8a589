"""The flags of minigpt data."""

import dataclasses
from typing import Literal

from tyro.conf import Positional


@dataclasses.dataclass(frozen=True)
class Data:
    """Turn texts into shards of tokens, in llm.c's format. What was interrupted goes on when run again."""

    out: str
    """The folder to write: shards, manifest.json, tokenizer.json."""
    inputs: Positional[tuple[str, ...]] = ()
    """Files, quoted globs, hf://datasets/OWNER/NAME[@REVISION]/GLOB; each in the order of its file names."""
    tokenizer: str = "gpt2"
    """gpt2, or a tokenizer's file or folder; at most 65,536 ids."""
    format: Literal["auto", "text", "jsonl", "parquet"] = "auto"
    """text (a file is a document), jsonl (a line is), parquet (a row is); auto: by the file's suffix."""
    field: str = "text"
    """The field of a JSON line, or the column of a parquet file, that holds the text."""
    eot: Literal["before", "after"] = "before"
    """Where <|endoftext|> stands: before each document as llm.c has it, or after it as nanoGPT."""
    shard_tokens: int = 100_000_000
    """Tokens in a shard; the last one has what is left. The first shard is for validation."""
    name: str | None = None
    """What the shards' names begin with. None: the name of the out folder."""
    workers: int | None = None
    """Processes that encode. None: one for each core that this process may use."""
    part: str | None = None
    """I/N: only the I-th of N shares of the files, into OUT/part-I-of-N. auto: as Slurm or MPI says."""
    join: bool = False
    """Make the output of the parts that lie in OUT."""
