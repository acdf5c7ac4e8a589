"""The command line: a subcommand is a dataclass, its flags are the fields."""

import functools
import importlib
import operator
import os
import sys
from typing import Annotated

import tyro

from minigpt.commands import Convert, Evaluate, Inspect, Replay, Sample
from minigpt.download import Download
from minigpt.errors import MinigptError
from minigpt.options import Recipe
from minigpt.planning.options import Plan
from minigpt.plotting.options import Plot
from minigpt.prepare.options import Data
from minigpt.reporting.options import Report
from minigpt.screen import printable
from minigpt.stop import INTERRUPTED
from minigpt.tokenize import Tokenize
from minigpt.usage import parsed


def later(module, name):
    """A function of a module that is imported only when it is called: --help need not wait for it."""
    return lambda command: getattr(importlib.import_module(module), name)(command)


# command -> its flags, and what carries it out
COMMANDS = {
    "train": (Recipe, later("minigpt.run", "run")),
    "sample": (Sample, later("minigpt.write", "write_sample")),
    "evaluate": (Evaluate, later("minigpt.score", "score")),
    "replay": (Replay, later("minigpt.replay", "replay")),
    "plan": (Plan, later("minigpt.plan", "plan")),
    "plot": (Plot, later("minigpt.plot", "plot")),
    "report": (Report, later("minigpt.report", "report")),
    "tokenize": (Tokenize, Tokenize.run),
    "data": (Data, later("minigpt.prepare.run", "prepare")),
    "inspect": (Inspect, later("minigpt.weights.inspect", "inspect")),
    "convert": (Convert, later("minigpt.weights.convert", "convert")),
    "download": (Download, Download.run),
}
Command = functools.reduce(
    operator.or_,
    [
        Annotated[flags, tyro.conf.subcommand(name, description=flags.__doc__)]
        for name, (flags, _) in COMMANDS.items()
    ],
)
# --flag alone turns a switch on, and no flag repeats its subcommand's name
STYLE = (tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes)
READER_GONE = 141  # what a shell says of a program that wrote to a closed pipe


def main(arguments=None):
    """Run a command; the exit code: 0 done, 1 failed, 2 bad usage or input, 75 stopped and resumable."""
    return carried_out(parsed(Command, arguments, prog="minigpt", config=STYLE))


def carried_out(command):
    """The exit code of a command, after a line on standard error if it failed."""
    carry_out = next(action for flags, action in COMMANDS.values() if flags is type(command))
    try:
        return carry_out(command) or 0
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing more is flushed at the end
        return READER_GONE
    except MinigptError as error:
        return fail(error, error.exit_code)
    except OSError as error:
        return fail(error, 2)
    except MemoryError as error:
        return fail(f"out of memory: {error}; use a smaller model, context or batch", 1)


def fail(error, code):
    """One line on standard error."""
    print(f"minigpt: {printable(str(error))}", file=sys.stderr)
    return code
