"""An oracle that borrows from what it judges is none: what the files in reference/ may import.

Tools around the oracles (commands, files) may use libraries; those that check minigpt, or let it read a
model's weights for them, may use minigpt too. They compute nothing that others are held against.
"""

import ast
import sys
from pathlib import Path

import pytest

ROOM = Path(__file__).parents[2] / "reference"
FILES = sorted(ROOM.rglob("*.py"))
# files or rooms
USE_MINIGPT = {"answers", "check", "kit", "questions", "shapes", "token_files", "tools", "trace"}
TOOLS = {*USE_MINIGPT, "diff", "dump", "dump_files", "dump_plan", "folders"}


def imports(path):
    """The top names of all modules that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.split(".")[0]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOM)))
def test_nothing_comes_from_minigpt(path):
    place = path.relative_to(ROOM).parts[0].removesuffix(".py")
    allowed = {"reference", *sys.stdlib_module_names}
    if place != "scalar":
        allowed |= {"numpy", "torch"}
    if place in TOOLS:
        allowed |= {"ml_dtypes", "safetensors", "threadpoolctl", "tqdm", "tyro"}
    if place in USE_MINIGPT:
        allowed |= {"minigpt"}
    assert set(imports(path)) <= allowed
