"""The flags of `minigpt sample`, `evaluate`, `replay`, `convert` and `inspect`."""

import dataclasses
from typing import Literal

from tyro.conf import Positional

LLMC_TOKENS = 20 * 64 * 1024  # llm.c's protocol: 20 batches of 64 windows of 1,024


@dataclasses.dataclass(frozen=True)
class Sample:
    """Let a trained model continue a text.

    The model sees as many tokens as its context has room for. When a text grows
    beyond, the oldest drop out, a quarter of the context at a time, and what is
    left is read anew.

    Equal seeds roll the same dice on every platform. The scores that they decide
    upon are equal within rounding only: on another processor, or with another
    number of threads, a text may part from what it was where two tokens are that
    close.
    """

    weights: str
    """A run's folder (its newest checkpoint), a step_... in it, or any weights that minigpt reads."""
    prompt: str = ""
    """The text to continue, read as it is. Empty: the beginning of a document, <|endoftext|>."""
    max_new_tokens: int = 100
    """Tokens to write, at least 1; a text that the model ends has fewer."""
    temperature: float = 0.7
    """0: always the likeliest token; 1: as the model says; between: bolder than 0, safer than 1."""
    top_k: int = 50
    """Choose among so many likeliest tokens: the others, each unlikely, are many together. 0: among all."""
    top_p: float | None = None
    """Choose among the likeliest tokens that reach this probability together; above 0, at most 1."""
    top_p_rule: str = "smallest"
    """smallest: the fewest that reach top-p; openai: without the one that crosses it, as its code did."""
    seed: int = 0
    """Of the dice; sample i has the seed + i."""
    num_samples: int = 1
    """Continuations of each prompt."""
    prompt_file: str | None = None
    """A text file to continue, in UTF-8; "-": standard input."""
    lines: bool = False
    """Continue each line of prompt-file by itself; blank ones are skipped."""
    interactive: bool = False
    """Read prompts from the terminal, one after another; an empty line continues the last text."""
    show_probs: bool = False
    """Show the likeliest tokens at each place, and which was taken (>): the distribution that is drawn from,
    at temperature 0 the model's own."""
    json: bool = False
    """An object a line for each sample: prompt, seed, text, partial (stopped by Ctrl-C), ids (<|endoftext|>
    too, where the model ended the text)."""
    tokenizer: str | None = None
    """gpt2, or a tokenizer's file or folder. None: what lies beside the weights, else gpt2."""
    ops: str = "fast"
    """fast (kernels) or reference (plain array operations)."""
    device: str = "numpy"
    """numpy (this machine's cores), or cupy (an NVIDIA GPU)."""
    products: str = "cublas"
    """On a GPU: cublas, or cublaslt, whose products also add biases."""
    threads: int | None = None
    """Threads of the kernels on cores. None: every core."""


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Score a model on text it has not seen (--data), or on HellaSwag (--hellaswag).

    --data: every token is predicted from those before it in its window.
    Printed are the mean of -log(its probability) in nats a token, which is
    what training calls loss; e to that power, the perplexity; and bits a byte,
    which compares models whose tokenizers differ. Bits a byte needs to know how
    many bytes of text the tokens stand for, so the tokenizer must be the one
    that made them; <|endoftext|> stands for none. By default this is llm.c's
    protocol: the first 20 x 64 x 1024 tokens of a validation shard, in windows
    as long as the model can read (1024 for GPT-2), side by side. Scores compare
    only on the same tokens, so the SHA-256 of their ids is printed.

    --hellaswag: each of a question's four endings follows the context behind a
    space. acc counts the questions whose right ending has the smallest sum of
    nats; acc_norm, the one usually quoted, the smallest mean a token.
    """

    weights: str | None = None
    """A run's folder (its newest checkpoint), a step_... in it, or any weights that minigpt reads."""
    data: str | None = None
    """Text files or token shards (a path or a quoted glob); for llm.c's protocol, one validation shard."""
    data_format: str | None = None
    """raw: shards are uint16 tokens without a header, as nanoGPT's. None: llm.c's .bin, or .npy."""
    hellaswag: str | None = None
    """HellaSwag's questions: the official hellaswag_val.jsonl, or llm.c's .bin of them."""
    write_bin: str | None = None
    """Write HellaSwag's questions as llm.c's .bin to this path. Needs no weights; the ids are then gpt2's."""
    batch_size: int = 4
    """Windows, or completions, in one forward pass, in memory together; scores do not depend on it."""
    context: int | None = None
    """Tokens in a window of data. None: as many as the model can read."""
    tokens: int = LLMC_TOKENS
    """Tokens of data to score, from its beginning; the default is llm.c's protocol. 0: all."""
    tokenizer: str | None = None
    """gpt2, or a tokenizer's file or folder. None: what lies beside the weights, else gpt2."""
    ops: str = "fast"
    """fast (kernels) or reference (plain array operations)."""
    device: str = "numpy"
    """numpy (this machine's cores), or cupy (an NVIDIA GPU)."""
    dtype: str | None = None
    """None: as the weights are; on a GPU also bfloat16 over float32, as training with it validates."""
    products: str = "cublas"
    """On a GPU: cublas, or cublaslt, whose products also add biases, apply GELU."""
    attention: str = "tiles"
    """On a GPU: tiles (no scores are kept of heads of 64 in bfloat16), scores, or cudnn (in bfloat16)."""
    threads: int | None = None
    """Threads of the kernels on cores. None: every core."""
    json: bool = False
    """Print one JSON object."""


@dataclasses.dataclass(frozen=True)
class Replay:
    """Run a step that a run rejected again, in float64, and say where its numbers were lost.

    A run that stops because its steps are not finite leaves the last of them in a
    folder rejected_..., weights and batch with it. Here every single operation of
    that step is watched: named is the first, forward then backward, whose result
    is not finite or beyond the range of the number type, with its layer, its place
    and its line of source, or the parameter that was no number before. Exit code
    0: a place is named; 1: in float64 nothing is lost; 2: no such folder, or it is
    damaged.
    """

    folder: Positional[str]
    """A run's rejected_... folder."""
    dtype: str | None = None
    """Whose range to hold numbers to: float16, bfloat16, float32, float64. None: that of the run."""
    json: bool = False
    """Print one JSON object."""


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


@dataclasses.dataclass(frozen=True)
class Inspect:
    """Say what a file is (weights, tokens, a tokenizer), list its tensors, and judge whether it is sound."""

    file: Positional[str]
    """A file, or a folder that belongs together."""
    n_head: int | None = None
    """Heads, for tensors that do not say how many."""
