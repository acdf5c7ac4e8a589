"""Commands that cannot be run here go as far as they can: through their parser and the checks of flags."""

import re
import shlex
import subprocess
import sys
import tomllib
from unittest import mock

from packaging.requirements import Requirement

import bench.gpu.__main__
import minigpt.cli
import reference.tools
from minigpt.options import Recipe
from minigpt.recipe import resolved
from minigpt.usage import parsed
from tests.docs.blocks import ROOT

# what a command may need that is not here; of a GPU alone, the command is run up to its absence
PARSED_ONLY = ("GPUs", "Slurm", "several machines", "the network", "minutes", "a terminal")
NO_GPU = "minigpt: device cupy: "  # without one, or without CuPy


def parse(command):
    """Take a command's words through its own parser; ValueError or SystemExit if it does not take them."""
    words = shlex.split(command)
    if words[0].rpartition("/")[2] in ("pip", "pip3"):
        return check_install(words)
    for place, word in enumerate(words):
        module = words[place - 1] == "-m" and word
        if word.rpartition("/")[2] == "minigpt" or module == "minigpt":
            return check_minigpt(words[place + 1 :])
        if module in PARSERS:
            return PARSERS[module](words[place + 1 :])
    raise ValueError(f"no parser is known for {command!r}")


def check_minigpt(words):
    """minigpt's own parser, and of a run every field's check but whether it fits into this machine."""
    flags = parsed(minigpt.cli.Command, words, prog="minigpt", config=minigpt.cli.STYLE)
    if isinstance(flags, Recipe):
        with mock.patch("minigpt.recipe.check_room"):
            resolved(flags)


def check_reference(words):
    """The parser of `python -m reference`."""
    reference.tools.command_of(words)


def check_pytest(words):
    """pytest's own parser; it collects one file, and runs nothing."""
    one = "tests/docs/test_links.py"
    command = [sys.executable, "-m", "pytest", *words, "--collect-only", "-q", one]
    if (found := subprocess.run(command, cwd=ROOT, capture_output=True, text=True)).returncode:
        raise ValueError(found.stdout + found.stderr)


def check_venv(words):
    """A virtual environment is a path."""
    if len(words) != 1:
        raise ValueError(f"expected one folder for the virtual environment, found {words}")


PARSERS = {
    "reference": check_reference,
    "bench.gpu": bench.gpu.__main__.parsed,
    "pytest": check_pytest,
    "venv": check_venv,
}


def check_install(words):
    """Every extra that pip is asked for must be one of the project's. Raises ValueError."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for word in words[2:]:
        if re.match(r"\.|minigpt\b", word):
            asked = Requirement(word.replace(".", "minigpt", 1) if word[0] == "." else word).extras
            if unknown := asked - extras.keys():
                raise ValueError(f"pyproject.toml has no extra {', '.join(unknown)}")


def check_make(command):
    """A target must be in the Makefile; make says so itself, and carries nothing out."""
    dry = command.replace("make ", "make -n ", 1)
    made = subprocess.run(["bash", "-c", dry], cwd=ROOT, capture_output=True, text=True)
    if made.returncode:
        raise ValueError(made.stderr)
