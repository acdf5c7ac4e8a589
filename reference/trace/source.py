"""The source as it stands: a function's lines, its words, and what it says of names and shapes."""

import ast
import functools
import inspect
import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[2]
ITEM = re.compile(r"(\w+) \(([^()]*)\)")
ARROW = re.compile(r"(?:\w+ \([^()]*\)(?:, | -> |$))+")
BORN = re.compile(r"#\s*\([^)]*\).*")  # a comment that gives shapes: # (B, T, C), (V, C)


def relative(file):
    """A file's path from the repository's root, with slashes on every system."""
    path = Path(file).resolve()
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name


def lines_of(function):
    """(file, first line, last line) of a function."""
    lines, first = inspect.getsourcelines(function)
    return relative(inspect.getsourcefile(function)), first, first + len(lines) - 1


def arrows(docstring):
    """What goes in and what comes out by the arrow line: two lists of (name, letters)."""
    for paragraph in paragraphs(docstring):
        text = " ".join(paragraph.split())
        if ARROW.fullmatch(text):
            left, _, right = text.partition(" -> ")
            return [[(name, axes(shape)) for name, shape in ITEM.findall(side)] for side in (left, right)]
    return [[], []]


def equation(docstring):
    """The docstring without its arrow line: ("words", text), or ("lines", text) that stays as it is."""
    found = []
    for paragraph in paragraphs(docstring):
        if paragraph.startswith(" "):
            found.append(("lines", textwrap.dedent(paragraph)))
        elif not ARROW.fullmatch(" ".join(paragraph.split())):
            found.append(("words", " ".join(paragraph.split())))
    return found


def paragraphs(docstring):
    """A docstring's paragraphs, indented as they are."""
    text = inspect.cleandoc(docstring or "")
    return [part.rstrip() for part in re.split(r"\n[ \t]*\n", text) if part.strip()]


def axes(letters):
    """ "B, T, 3C" -> ("B", "T", "3C")."""
    return tuple(letter.strip() for letter in letters.split(",") if letter.strip())


@functools.cache
def tree_of(function):
    """A function's syntax tree, with its file's own line numbers."""
    lines, first = inspect.getsourcelines(function)
    return ast.increment_lineno(ast.parse(textwrap.dedent("".join(lines))), first - 1).body[0]


def cached_names(function):
    """The names in the cache that a function returns: `return y, (x, weight)` -> ("x", "weight")."""
    *_, last = [node.value for node in ast.walk(tree_of(function)) if isinstance(node, ast.Return)]
    cache = last.elts[-1] if isinstance(last, ast.Tuple) else None
    return tuple(map(ast.unparse, cache.elts)) if isinstance(cache, ast.Tuple) else ()


@functools.cache
def births(function):
    """Where variables get their values: name -> (line, letters of the shape by the comment there)."""
    text = Path(inspect.getsourcefile(function)).read_text(encoding="utf-8").split("\n")
    born = {}
    for node in ast.walk(tree_of(function)):
        if not isinstance(node, ast.Assign):
            continue
        (target,) = node.targets
        names = [part.id for part in getattr(target, "elts", [target]) if isinstance(part, ast.Name)]
        comment = BORN.search(text[node.end_lineno - 1])
        shapes = [axes(shape) for shape in re.findall(r"\(([^()]*)\)", comment[0])] if comment else []
        if len(shapes) < len(names):  # one comment for all: # (B, H, T, D) each
            shapes = (shapes[:1] or [()]) * len(names)
        for name, letters in zip(names, shapes, strict=False):
            born.setdefault(name, (node.lineno, letters))
    return born
