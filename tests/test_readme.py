"""The README says what is there: page 1, the make targets, the commands, the flags, the public names."""

import dataclasses
import inspect
import re
from pathlib import Path

import minigpt
from minigpt import cli
from minigpt.train import train_step

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_readme_shows_page_1_as_it_is():
    assert inspect.getsource(train_step).rstrip() in README


def test_make_targets_in_the_readme_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|^)make ([a-z-]+)", README, re.MULTILINE))
    assert {"train", "test", "bench", "tokenizer-proof"} <= named <= targets


def test_commands_and_flags_in_the_readme_exist():
    lines = re.findall(r"minigpt ([a-z]+)( [^`\n]*)", README)
    assert {command for command, _ in lines} >= {"train", "sample", "tokenize", "data"}
    for command, rest in lines:
        if command in cli.COMMANDS:
            flags = {name_of(field) for field in dataclasses.fields(cli.COMMANDS[command][0])}
            assert set(re.findall(r"--([a-z-]+)", rest)) <= flags | {"help"}, (command, rest)


def name_of(field):
    """A field's flag, without the dashes."""
    return field.name.rstrip("_").replace("_", "-")


def test_names_in_the_readme_are_public():
    names = set(re.findall(r"minigpt\.([A-Z]\w+|\w+(?=\())", README))
    assert {"Trainer", "generate", "load_weights"} <= names <= set(minigpt.__all__)
