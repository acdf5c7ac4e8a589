"""Nonsense for every field and flag: is it refused in one line, and how long does the answer take?"""

import contextlib
import io
import re
import tempfile
import time
from pathlib import Path

from minigpt import ConfigError, GPTConfig, MinigptError, cli
from minigpt.config import OptimizerConfig
from minigpt.recipe import Recipe, resolved
from tests.campaigns import Row
from tests.support.commands import CHOICE, KINDS, Place, fields, leaves
from tests.test_fields import cases
from tests.test_flags import BAD, changed, parse

LIMIT = 1.0  # seconds
KINDS_OF_CONFIG = {"GPTConfig": GPTConfig, "OptimizerConfig": OptimizerConfig, "Recipe": Recipe}


def campaign(scale=1.0):
    """Both goals. scale: the share of the cases."""
    with tempfile.TemporaryDirectory() as folder:
        return [configurations(scale), flags(Place(Path(folder)), scale)]


def configurations(scale):
    """Every field of the dataclasses that programs fill."""
    slowest, wrong, tried = 0.0, [], 0
    for name, kind in KINDS_OF_CONFIG.items():
        found = [case for case in cases(kind) if case[0] != "clip" or case[1] is not None]
        for field, value in found[:: max(1, round(1 / scale))]:
            start, tried = time.perf_counter(), tried + 1
            try:
                resolved(Recipe(**{field: value})) if kind is Recipe else kind(**{field: value})
                wrong.append(f"{name}.{field}")
            except ConfigError:
                pass
            except Exception as error:
                wrong.append(f"{name}.{field}: {type(error).__name__}")
            slowest = max(slowest, time.perf_counter() - start)
    return verdict("fields of configurations, values of wrong kinds: ConfigError", wrong, tried, slowest)


def flags(place, scale):
    """Every number and choice of every command."""
    slowest, wrong, tried = 0.0, [], 0
    for leaf in leaves():
        command = parse(place, leaf)
        of_kinds = [(field.name, kind) for field, kinds in fields(leaf) for kind in kinds & {int, float}]
        numbers = [(name, value) for name, kind in of_kinds for value in BAD[kind]]
        choices = [(name, "nonsense") for name, kind in KINDS[leaf.name].items() if kind == CHOICE]
        for name, value in [*numbers, *choices][:: max(1, round(1 / scale))]:
            start, tried = time.perf_counter(), tried + 1
            if not is_refused(changed(command, **{name: value})):
                wrong.append(f"{leaf.name} {name} {value}")
            slowest = max(slowest, time.perf_counter() - start)
    return verdict("flags of commands, numbers and choices out of range: exit code 2, one line", wrong, tried,
                   slowest)  # fmt: skip


def is_refused(command):
    """Whether a command ends with code 2 and one line, without anything said or raised besides."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            code = cli.carried_out(command)
        except MinigptError:
            return False
    return code == 2 and not out.getvalue() and bool(re.fullmatch(r"minigpt: [^\n]+\n", err.getvalue()))


def verdict(goal, wrong, tried, slowest):
    """The row of a goal."""
    value = f"{len(wrong)} wrong of {tried:,}{': ' + wrong[0] if wrong else ''}; slowest {slowest:.2f} s"
    return Row(goal, f"0 wrong, each in < {LIMIT:g} s", value, not wrong and slowest < LIMIT)
