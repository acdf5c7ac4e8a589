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
    """A folder with config.json, model.safetensors and a tokenizer: a run's step_... folder."""
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
    seed: int = 0
    """Equal seeds write equal texts."""


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
    from minigpt.sample import write_sample

    return write_sample(command)


def tokenize(command):
    """minigpt tokenize."""
    return command.action.run() or 0


def fail(error, code):
    """One line on standard error."""
    print(f"minigpt: {error}", file=sys.stderr)
    return code


ACTIONS = {Recipe: train, Sample: sample, Tokenize: tokenize}
