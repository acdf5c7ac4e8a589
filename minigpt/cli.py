"""The command line: a subcommand is a dataclass, its flags are the fields."""

import dataclasses
import sys
from typing import Annotated

import tyro

from minigpt.errors import MinigptError, NumericsError
from minigpt.recipe import Recipe
from minigpt.tokenize import Tokenize


@dataclasses.dataclass(frozen=True)
class Sample:
    """Let a trained model continue a text."""

    weights: str
    """A run's step_... folder, or any file or folder of weights that minigpt reads."""
    prompt: str = ""
    """The text to continue. Empty: the beginning of a document."""
    max_new_tokens: int = 100
    """Tokens to write."""
    temperature: float = 0.7
    """0: always the likeliest token; 1: as the model says; between: bolder than 0, safer than 1."""
    top_k: int = 50
    """Choose among so many likeliest tokens: the others, each unlikely, are many together. 0: among all."""
    top_p: float | None = None
    """Choose among the likeliest tokens that reach this probability together."""
    top_p_rule: str = "smallest"
    """smallest: the fewest that reach top-p; openai: without the one that crosses it, as its code did."""
    seed: int = 0
    """Equal seeds write equal texts; sample i has the seed + i."""
    num_samples: int = 1
    """Continuations of each prompt."""
    prompt_file: str | None = None
    """A text file to continue; "-": standard input."""
    lines: bool = False
    """Continue each line of prompt-file by itself."""
    interactive: bool = False
    """Read prompts from the terminal, one after another."""
    show_probs: bool = False
    """Show the likeliest tokens at each place, and which was drawn (>)."""
    json: bool = False
    """An object a line for each sample: prompt, seed, text, ids."""
    tokenizer: str | None = None
    """gpt2, or a tokenizer's file or folder. None: what lies beside the weights, else gpt2."""
    ops: str = "fast"
    """fast (kernels) or reference (plain array operations)."""
    threads: int | None = None
    """Threads of the kernels. None: every core."""


Command = (
    Annotated[Recipe, tyro.conf.subcommand("train", description=Recipe.__doc__)]
    | Annotated[Sample, tyro.conf.subcommand("sample", description=Sample.__doc__)]
    | Annotated[Tokenize, tyro.conf.subcommand("tokenize", description=Tokenize.__doc__)]
)


# --flag alone turns a switch on, and no flag repeats its subcommand's name
STYLE = (tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes)


def main(arguments=None):
    """Run a command; the exit code: 0 done, 1 failed, 2 bad usage or input, 75 stopped and resumable."""
    command = tyro.cli(Command, prog="minigpt", args=arguments, config=STYLE)
    try:
        return ACTIONS[type(command)](command)
    except NumericsError as error:
        return fail(error, 1)
    except (MinigptError, OSError) as error:
        return fail(error, 2)
    except MemoryError as error:
        return fail(f"out of memory: {error}; use a smaller model, context or batch", 1)


def train(recipe):
    """minigpt train."""
    from minigpt.run import run  # here, so that --help need not wait for it

    return run(recipe)


def sample(command):
    """minigpt sample."""
    from minigpt.write import write_sample

    return write_sample(command)


def tokenize(command):
    """minigpt tokenize."""
    return command.action.run() or 0


def fail(error, code):
    """One line on standard error."""
    print(f"minigpt: {error}", file=sys.stderr)
    return code


ACTIONS = {Recipe: train, Sample: sample, Tokenize: tokenize}
