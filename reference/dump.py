"""reference dump: everything that happens in a forward and a backward pass, as files for other programs."""

import dataclasses
from typing import Literal

from reference.answers import answered
from reference.bad_input import BadInput, refuse_empty

FORMATS = ("safetensors", "npz", "debug-state")


@dataclasses.dataclass(frozen=True)
class Dump:
    """Write every activation, its gradient and every parameter's gradient, under llm.c's names."""

    out: str
    """The folder to write; new, or empty."""
    weights: str | None = None
    """A model's weights, in any format that minigpt reads."""
    random: str | None = None
    """A random model instead: "n_layer=2,n_head=2,n_embd=8,n_ctx=16,n_vocab=29,seed=0", or parts of it."""
    tokens: str | None = None
    """Token ids: .npy (n) or (B, T + 1), .bin (uint16, llm.c's shards too), .txt (numbers)."""
    text: str | None = None
    """A text, for GPT-2's tokenizer."""
    targets: str | None = None
    """Targets of your own, .npy (B, T), -1 where nothing is scored. Default: tokens, one place later."""
    batch: int | None = None
    """B, rows. Default: 1, or all rows of the file."""
    time: int | None = None
    """T, tokens a row. Default: as many as there are and fit."""
    layers: str = ""
    """Only these layers, such as "0,3"; empty: all."""
    names: str = "*"
    """Only these tensors, such as "ln1,qkv,d*"."""
    dtype: Literal["float64", "float32", "bfloat16", "float16"] = "float64"
    """Precision of the files; the computation is in float64."""
    format: str | None = None
    """Some of safetensors, npz, debug-state (llm.c's own: logits, loss, gradients, in float32). Default: all,
    but no debug-state for a part of its tensors, or for files of 16 bits."""

    def run(self):
        """Write the folder and say what is in it; the exit code."""
        return answered("dump", self.write)

    def write(self):
        """Compute, write, describe; the exit code."""
        from reference.dump_files import write_dump  # here, so that --help need not wait for NumPy
        from reference.dump_plan import Plan
        from reference.llmc import run
        from reference.questions import question

        refuse_empty(self, "out", "weights", "tokens", "text", "targets")
        if any(number is not None and number < 1 for number in (self.batch, self.time)):
            raise BadInput(f"--batch and --time must be 1 or more: found {self.batch} and {self.time}")
        formats = FORMATS if self.format is None else formats_of(self.format)
        plan = Plan(self.out, self.layers, self.names, self.dtype, formats, asked=self.format is not None)
        source = {flag: getattr(self, flag) for flag in ("weights", "random", "tokens", "text", "targets")}
        inputs = question(**source, batch=self.batch, time=self.time, before=plan.check)
        print(write_dump(plan, inputs, run(inputs), source))
        return 0


def formats_of(words):
    """ "npz,debug-state" as a list."""
    formats = [word.strip() for word in words.split(",")]
    if unknown := [word for word in formats if word not in FORMATS]:
        raise BadInput(f"--format: expected some of {', '.join(FORMATS)}: found {unknown[0]!r}")
    return formats
