"""An oracle that borrows from what it judges is none: what the files in reference/ may import."""

import ast
import sys
from pathlib import Path

import pytest

ROOM = Path(__file__).parents[2] / "reference"
FILES = sorted(ROOM.rglob("*.py"))


def imports(path):
    """The top names of all modules that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.split(".")[0]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOM)))
def test_nothing_comes_from_minigpt(path):
    allowed = {"reference", *sys.stdlib_module_names}
    if "scalar" not in path.parts:
        allowed |= {"numpy", "torch"}
    assert set(imports(path)) <= allowed
