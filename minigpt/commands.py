"""The flags of `minigpt sample` and `minigpt evaluate`."""

import dataclasses


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
    """A run's step_... folder, or any file or folder of weights that minigpt reads."""
    prompt: str = ""
    """The text to continue. Empty: the beginning of a document."""
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
    threads: int | None = None
    """Threads of the kernels. None: every core."""


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Score a model on a text it has not seen, or on HellaSwag's questions."""

    weights: str
    """A run's step_... folder, or any file or folder of weights that minigpt reads."""
    data: str | None = None
    """Text files or token shards (a path or a quoted glob)."""
    data_format: str | None = None
    """raw: shards are uint16 tokens without a header, as nanoGPT's. None: llm.c's .bin, or .npy."""
    hellaswag: str | None = None
    """HellaSwag's questions: the official .jsonl, or llm.c's .bin."""
    write_bin: str | None = None
    """Write HellaSwag's questions as llm.c's .bin to this path as well."""
    batch_size: int = 4
    """Windows, or completions, in one forward pass; the score does not depend on it."""
    context: int | None = None
    """Tokens in a window. None: as many as the model can read."""
    tokens: int | None = 20 * 64 * 1024
    """Tokens to score, the first of the data: 20 batches of 64 x 1,024 are llm.c's protocol. 0: all."""
    tokenizer: str | None = None
    """gpt2, or a tokenizer's file or folder. None: what lies beside the weights, else gpt2."""
    ops: str = "fast"
    """fast (kernels) or reference (plain array operations)."""
    threads: int | None = None
    """Threads of the kernels. None: every core."""
    json: bool = False
    """Print one JSON object."""
