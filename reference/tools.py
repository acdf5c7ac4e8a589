"""The command line of python -m reference."""

import functools
import importlib
import importlib.util
import operator
import sys
from typing import Annotated

import tyro

from minigpt.usage import first_sentence, parsed, whole
from reference.answers import answered

# command -> (module, its dataclass with run() -> exit code)
COMMANDS = {
    "check": ("reference.check", "Check"),
    "dump": ("reference.dump", "Dump"),
    "diff": ("reference.diff", "Diff"),
    "kit": ("reference.kit", "Kit"),
    "trace": ("reference.trace", "Trace"),
}

# --flag alone turns a switch on, and no flag repeats its subcommand's name
STYLE = (tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes)
MORE = "python -m reference COMMAND --help says more of a command and lists its flags."


def main(arguments=None):
    """Run a command; the exit code: 0 all is well, 1 something differs, 2 bad usage or input."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    return answered("", lambda: command_of(words).run())


def command_of(words):
    """The command that words ask for. Raises SystemExit after --help, and after a line about wrong words."""
    return parsed(commands(*words[:1]), words, prog="python -m reference", description=MORE, config=STYLE)


def commands(asked=None):
    """The union of all commands that are there. asked: of which --help says more than the first sentence."""
    named = []
    for name, (module, entry) in COMMANDS.items():
        if importlib.util.find_spec(module):
            command = getattr(importlib.import_module(module), entry)
            said = whole(command.__doc__) if name == asked else first_sentence(command.__doc__)
            named.append(Annotated[command, tyro.conf.subcommand(name, description=said)])
    return functools.reduce(operator.or_, named)
