"""The command line: a subcommand is a dataclass, its flags are the fields."""

import functools
import importlib
import operator
import sys
from dataclasses import fields
from typing import Annotated

import tyro

from minigpt.commands import Convert, Evaluate, Inspect, Replay, Sample
from minigpt.download import Download
from minigpt.errors import ConfigError, MinigptError
from minigpt.flags import flag_of
from minigpt.options import Recipe
from minigpt.planning.options import Plan
from minigpt.plotting.options import Plot
from minigpt.prepare.options import Data
from minigpt.reporting.options import Report
from minigpt.screen import outlived, printable, screen, tell, to_nowhere
from minigpt.stop import INTERRUPTED
from minigpt.tokenize import Tokenize
from minigpt.usage import first_sentence, parsed, whole


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
# --flag alone turns a switch on, and no flag repeats its subcommand's name
STYLE = (tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes)
MORE = "minigpt COMMAND --help says more of a command and lists its flags."
READER_GONE = 141  # what a shell says of a program that wrote to a closed pipe


def commands(asked=None):
    """The union of all commands. asked: of which --help says everything, not the first sentence alone."""
    named = []
    for name, (flags, _) in COMMANDS.items():
        said = whole(flags.__doc__) if name == asked else first_sentence(flags.__doc__)
        named.append(Annotated[flags, tyro.conf.subcommand(name, description=said)])
    return functools.reduce(operator.or_, named)


Command = commands()


def main(arguments=None):
    """Run a command; the exit code: 0 done, 1 failed, 2 bad usage or input, 75 stopped and resumable."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    command = commands(*words[:1])
    return answered(lambda: carry_out(parsed(command, words, prog="minigpt", description=MORE, config=STYLE)))


def carried_out(command):
    """The exit code of a command, after a line on standard error if it failed."""
    return answered(lambda: carry_out(command))


def carry_out(command):
    """Do what a command asks for; the exit code. A run outlives a standard output that fails: see log.py."""
    action = next(action for flags, action in COMMANDS.values() if flags is type(command))
    try:
        with outlived() if isinstance(command, Recipe) else screen():
            return action(command) or 0
    except ConfigError as error:
        return fail(in_flags(str(error), command), error.exit_code)


def answered(work):
    """The exit code that work() returns, or that of how it ends."""
    try:
        return work()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        to_nowhere(sys.stdout)
        return READER_GONE
    except MinigptError as error:
        return fail(error, error.exit_code)
    except OSError as error:
        return fail(error, 2)
    except MemoryError as error:
        return fail(f"out of memory: {error}; use a smaller model, context or batch", 1)


def in_flags(message, command):
    """A message about a field as one about its flag: "n_layer must be ..." -> "--n-layer must be ..."."""
    name, must, rest = message.partition(" must ")
    command = getattr(command, "action", command)  # of `minigpt tokenize train`
    named = [field.name for field in fields(command) if not hasattr(field.type, "__metadata__")]
    return f"{flag_of(name)}{must}{rest}" if must and name in named else message


def fail(error, code):
    """One line on standard error."""
    tell(f"minigpt: {printable(str(error))}")
    return code
