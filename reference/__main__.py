"""python -m reference check | dump | diff | kit | trace: tools around the oracles."""

import functools
import importlib
import importlib.util
import operator
import sys
from typing import Annotated

import tyro

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


def main(arguments=None):
    """Run a command; the exit code: 0 all is well, 1 something differs, 2 bad usage or input."""
    return tyro.cli(commands(), prog="python -m reference", args=arguments, config=STYLE).run()


def commands():
    """The union of all commands that are there, each under its name."""
    named = []
    for name, (module, entry) in COMMANDS.items():
        if importlib.util.find_spec(module):
            command = getattr(importlib.import_module(module), entry)
            named.append(Annotated[command, tyro.conf.subcommand(name, description=command.__doc__)])
    return functools.reduce(operator.or_, named)


if __name__ == "__main__":
    sys.exit(main())
