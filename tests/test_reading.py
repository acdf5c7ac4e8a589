"""READING.md leads through a step in the order in which it happens, and every name is where it says."""

import ast
import inspect
import re
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest

import minigpt
from minigpt import ops
from minigpt.kernels import REFERENCE
from minigpt.model import backward, forward
from minigpt.train import train_step

ROOT = Path(__file__).parents[1]
READING = (ROOT / "READING.md").read_text()
MOST_LINES_A_MINUTE = 30


class Row(NamedTuple):
    """A row of the tour."""

    page: str
    paths: list
    words: str
    minutes: int | None


def rows():
    found = re.findall(r"^\| (\d?) ?\| (\[.*?) \| (.*) \| ?(\d*) ?\|$", READING, re.MULTILINE)
    for page, links, words, minutes in found:
        paths = [ROOT / path for path in re.findall(r"\]\((.*?)\)", links)]
        yield Row(page, paths, words, int(minutes) if minutes else None)


ROWS = list(rows())
FILES = [path for row in ROWS for path in row.paths]


def defined_in(path):
    """The functions and classes of a file."""
    tree = ast.parse(path.read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}


def test_the_whole_table_was_read():
    table = READING.partition("| page |")[2].partition("\n\n")[0]
    assert len(ROWS) == table.count("\n") - 1  # but for the two lines of its head


def test_pages_are_numbered_as_their_files_number_themselves():
    heads = {
        path: re.match(r'"""PAGE (\d+)\. ', path.read_text()) for path in (ROOT / "minigpt").rglob("*.py")
    }
    numbers = {path: int(head[1]) for path, head in heads.items() if head}
    in_tour = {row.paths[0]: int(row.page) for row in ROWS if row.page}
    operations = ROOT / "minigpt" / "ops" / "__init__.py"
    assert in_tour == numbers | {operations: 4}
    assert list(in_tour.values()) == [1, 2, 3, 4, 5, 6]


def test_pages_come_as_train_step_names_their_files():
    named = re.findall(r"# .*?(\w+(?:/\w+)?)\.py", inspect.getsource(train_step))
    first = list(dict.fromkeys(f"{name.rpartition('/')[0] or name}" for name in named))
    assert [name for name in first if name != "guard"] == ["data", "model", "ops", "comm", "optim"]
    pages = [row.paths[0] for row in ROWS if row.page][1:]
    assert [path.parent.name if path.stem == "__init__" else path.stem for path in pages] == [
        name for name in first if name != "guard"
    ]


def test_operations_come_in_the_order_in_which_a_step_first_calls_them():
    called = []

    def seen(name):
        return lambda *args: called.append(name) or REFERENCE[name](*args)

    table = SimpleNamespace(**REFERENCE | {name: seen(name) for name in ops.__all__})
    config = minigpt.GPTConfig(n_layer=1, n_head=1, n_embd=4, n_ctx=4, n_vocab=5)
    tokens = np.zeros((1, 4), int)
    logits, tape = forward(config, table, minigpt.init_params(config, dtype="float64"), tokens)
    _, tail = table.cross_entropy_forward(logits, tokens)
    order = list(dict.fromkeys(name.removesuffix("_forward") for name in called))
    in_tour = [path.stem for path in FILES if path.parent.name == "ops" and path.stem != "__init__"]
    assert in_tour == order
    dict(backward(config, table, table.cross_entropy_backward(1, tail), tape))
    assert set(called) == set(ops.__all__)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.paths[0].stem)
def test_every_name_is_defined_in_the_files_of_its_row(row):
    names = set(re.findall(r"`([A-Za-z_]\w*)`", row.words))
    assert names <= set().union(*map(defined_in, row.paths))


def test_every_file_of_the_reading_path_is_visited_once():
    operations = {path for path in (ROOT / "minigpt" / "ops").glob("*.py")}
    named = re.findall(r"# .*?(\w+)\.py", inspect.getsource(train_step))
    path = {ROOT / "minigpt" / f"{name}.py" for name in named if name != "cross_entropy"}
    assert path | operations | {ROOT / "minigpt" / "train.py"} <= set(FILES)
    assert len(FILES) == len(set(FILES))


def test_minutes_are_enough_and_add_up():
    timed = [row for row in ROWS if row.minutes]
    assert [row.paths[0].stem for row in ROWS if not row.minutes] == ["__init__"]
    for row in timed:
        lines = sum(len(path.read_text().splitlines()) for path in row.paths)
        assert lines <= MOST_LINES_A_MINUTE * row.minutes, (row.paths, lines)
    assert "About an hour and a half in all" in READING
    assert abs(sum(row.minutes for row in timed) - 90) <= 10
