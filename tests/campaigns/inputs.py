"""Nonsense for every field, flag and file: is it refused in one line, and how long does the answer take?"""

import contextlib
import io
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from minigpt import ConfigError, GPTConfig, MinigptError, cli
from minigpt.config import OptimizerConfig
from minigpt.options import Recipe
from minigpt.recipe import resolved
from tests.campaigns import Row
from tests.support.commands import CHOICE, KINDS, Place, fields, leaves
from tests.test_fields import cases
from tests.test_flags import (
    BAD,
    CLOSED,
    FINE,
    NEW,
    OLD,
    PATHS,
    UNFIT,
    UNFIT_FOR,
    Nasty,
    changed,
    parse,
    with_file,
)

LIMIT = 1.0  # seconds
KINDS_OF_CONFIG = {"GPTConfig": GPTConfig, "OptimizerConfig": OptimizerConfig, "Recipe": Recipe}


def campaign(scale=1.0):
    """All goals. scale: the share of the cases."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # where another user may look
        place = Place(Path(folder))
        return [configurations(scale), flags(place, scale), *files(place, scale), processes(place)]


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


def files(place, scale):
    """Every file and folder that a command reads or writes: what is there is of another kind, or closed."""
    (place.root / "nasty").mkdir()
    root = Nasty(place.root / "nasty").root
    read = [(leaf, name, path) for leaf, name, _ in OLD for path in PATHS if (leaf, name, path) not in FINE]
    closed = [(leaf, name, path) for leaf, name, _ in OLD for path in CLOSED]
    written = [(leaf, name, path) for leaf, name, kind in NEW for path in (*UNFIT, *UNFIT_FOR[kind])]
    every = max(1, round(1 / scale))
    yield tried("files to read: missing, a folder, empty, a pipe, ...", place, root, read[::every])
    yield tried("places to write to that cannot be", place, root, written[::every])
    with unprivileged():
        yield tried("files to read: unreadable", place, root, closed[::every])


def tried(goal, place, root, cases):
    """The row of commands with one bad file each."""
    slowest, wrong = 0.0, []
    for leaf, name, path in cases:
        command = with_file(place, leaf, name, path and str(root / path))
        start = time.perf_counter()
        if not is_refused(command):
            wrong.append(f"{leaf} {name} {path}")
        slowest = max(slowest, time.perf_counter() - start)
    return verdict(f"{goal}: exit code 2, one line", wrong, len(cases), slowest)


@contextlib.contextmanager
def unprivileged():
    """Without root's right to read everything."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


def processes(place):
    """One bad number or file for every command, from the start of its process to its end."""
    slowest, wrong, n = 0.0, [], 0
    for leaf in leaves():
        numbers = [field.name for field, kinds in fields(leaf) if kinds & {int, float}]
        bad = [f"--{numbers[0].replace('_', '-')}", "nonsense"] if numbers else ["--tokenizer", "/nowhere"]
        words = [*place.words(leaf), *bad] if leaf.name != "inspect" else ["inspect", "/nowhere"]
        command, seconds, n = [sys.executable, "-m", "minigpt", *words], [], n + 1
        for _ in range(3):
            start = processor_time()  # others use this machine, too
            ended = subprocess.run(command, capture_output=True, text=True, check=False)
            seconds.append(processor_time() - start)
        slowest = max(slowest, min(seconds))
        if not told_in_one_line(ended.returncode, ended.stdout, ended.stderr):
            wrong.append(f"{leaf.name}: {ended.returncode}, {ended.stderr}")
    return verdict("one bad flag for every command, processor time from its start", wrong, n, slowest)


def processor_time():
    """Seconds that this process's children have had a core for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def is_refused(command):
    """Whether a command ends with code 2 and one line, without anything said or raised besides."""
    streams = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2)]
    with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]):
        try:
            code = cli.carried_out(command)
        except MinigptError:
            return False
    for stream in streams:
        stream.flush()
    return told_in_one_line(code, *(stream.buffer.getvalue().decode() for stream in streams))


def told_in_one_line(code, out, err):
    """Whether a command has ended with code 2 and said why in one line."""
    if code == 2 and not err:  # inspect's verdicts are what it was asked for
        return bool(re.search(r"^verdict: not usable\. [^\n]+\n\Z", out, re.MULTILINE))
    return code == 2 and not out and bool(re.fullmatch(r"minigpt: [^\n]+\n", err))


def verdict(goal, wrong, tried, slowest):
    """The row of a goal."""
    value = f"{len(wrong)} wrong of {tried:,}{': ' + wrong[0] if wrong else ''}; slowest {slowest:.2f} s"
    return Row(goal, f"0 wrong, each in < {LIMIT:g} s", value, not wrong and slowest < LIMIT)
