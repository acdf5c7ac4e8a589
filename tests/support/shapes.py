"""Reads the arrow lines of docstrings and holds functions to them.

`x (B, T, C), gain (C) -> y (B, T, C)` names arguments and results in order and gives their shapes: letters
that must mean the same number throughout a call, products such as 3C, numbers, `()` for a scalar, and
`...` for any axes. Arguments that are not arrays (caches, n_head) are not mentioned. A forward function may
return one thing more than is mentioned: its cache, or its tape. A generator has arguments alone.
"""

import functools
import inspect
import re

import numpy as np

from minigpt.kernels.gradient import Gradient

ITEM = re.compile(r"(\w+) \(([^()]*)\)")
LINE = re.compile(r"(?:\w+ \([^()]*\)(?:, | -> |$))+")


class ShapeError(AssertionError):
    """A docstring's arrow line is missing, malformed, or not what happened."""


def arrow_line(function):
    """(arguments, results) of the arrow line: two lists of (name, shape as written)."""
    paragraphs = re.split(r"\n\s*\n", inspect.getdoc(function) or "")
    lines = [" ".join(part.split()) for part in paragraphs]
    found = [line for line in lines if LINE.fullmatch(line)]
    if len(found) != 1:
        raise ShapeError(f"{function.__qualname__} has {len(found)} arrow lines in its docstring")
    left, _, right = found[0].partition(" -> ")
    return ITEM.findall(left), ITEM.findall(right)


def match(written, shape, letters, what):
    """letters with what `written` says about shape added; a ShapeError where it contradicts them."""
    axes, letters = [axis.strip() for axis in written.split(",") if axis.strip()], dict(letters)
    if axes[:1] == ["..."]:
        axes, shape = axes[1:], shape[len(shape) - len(axes) + 1 :]
    if len(axes) != len(shape):
        raise ShapeError(f"{what} is documented as ({written}), found {shape}")
    for axis, length in zip(axes, shape, strict=True):
        factor, letter = re.fullmatch(r"(\d*)(\w*)", axis).groups()
        known = int(factor or 1) * (letters.setdefault(letter, length // int(factor or 1)) if letter else 1)
        if known != length:
            raise ShapeError(f"{what} is documented as ({written}) with {letters}, found {shape}")
    return letters


def held_to_its_arrow_line(function, letters=None, seen=None):
    """function, checked on every call. letters: what some letters are known to be. seen collects names."""
    arguments, results = arrow_line(function)
    signature = inspect.signature(function)

    @functools.wraps(function)
    def checked(*args, **options):
        given, known = signature.bind(*args, **options).arguments, dict(letters or {})
        for name, written in arguments:
            if name not in given:
                raise ShapeError(f"{function.__qualname__}: {name} is documented, but no argument")
            known = match(written, np.shape(given[name]), known, f"{function.__qualname__}: {name}")
        out = function(*args, **options)
        check_results(function.__qualname__, results, out, known)
        if seen is not None:
            seen.add(function.__name__)
        return out

    return checked


def check_results(function, results, out, letters):
    """Hold what a function returned to the right side of its arrow line."""
    parts = out if isinstance(out, tuple) else (out,)
    extra = parts[len(results) :]
    if len(parts) < len(results) or len(extra) > 1 or any(isinstance(part, np.ndarray) for part in extra):
        raise ShapeError(f"{function} returns {len(parts)} things, documented are {len(results)}")
    for (name, written), part in zip(results, parts, strict=False):
        if isinstance(part, Gradient):
            part.writers = (
                held_when_written(part.writers[0], written, letters, f"{function}: result {name}"),
            )
            continue
        letters = match(written, np.shape(part), letters, f"{function}: result {name}")


def held_when_written(writer, written, letters, what):
    """A Gradient's writer, which is shown an array of the parameter's shape when it is called."""

    def checked(out, add):
        match(written, out.shape, letters, what)
        writer(out, add)

    return checked
