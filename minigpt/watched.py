"""Arrays that are watched: every single operation on them is seen, with the line of source that does it.

NumPy hands each operation on a subclass of its arrays to that subclass (NEP 13, NEP 18), so the mathematics
runs as it is written, and the first number that is lost has a place, a line and a value.
"""

import linecache
import math
import sys
from typing import NamedTuple

import numpy as np


class Found(NamedTuple):
    """One number in one operation's result."""

    value: float
    place: tuple  # its index in the result
    shape: tuple  # the result's
    line: str  # of the source


class Watched(np.ndarray):
    """An array that tells its watcher what becomes of it: watcher(found, lost) after every operation."""

    watcher = None

    def __array_finalize__(self, parent):
        self.watcher = getattr(parent, "watcher", None)

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        watcher = watcher_of(inputs)
        inputs = [plain(value) for value in inputs]
        if out is not None:
            options["out"] = tuple(plain(value) for value in out)
        with np.errstate(all="ignore"):
            result = getattr(ufunc, method)(*inputs, **options)
        if method == "at":  # works in its first argument, and returns nothing
            see(watcher, inputs[0], ())
            return None
        see(watcher, result, inputs if method == "__call__" and ufunc.signature is None else None)
        return watched(result, watcher)

    def __array_function__(self, function, types, arguments, options):
        # these choose, move and shape; arithmetic comes as a ufunc
        watcher = watcher_of([*arguments, *options.values()]) or self.watcher
        result = function(*plain(arguments), **{name: plain(value) for name, value in options.items()})
        if isinstance(result, (list, tuple)):
            return type(result)(watched(value, watcher) for value in result)
        return watched(result, watcher)


def watched(value, watcher):
    """Numbers with a watcher; what is no array of floats, as it is."""
    array = np.asarray(value)
    if array.dtype.kind != "f":
        return value
    view = array.view(Watched)
    view.watcher = watcher
    return view


def plain(value):
    """The same without watchers, in lists too."""
    if isinstance(value, (list, tuple)):
        return type(value)(plain(one) for one in value)
    return value.view(np.ndarray) if isinstance(value, Watched) else value


def watcher_of(values):
    """The first watcher among values, and those in lists."""
    for value in values:
        found = watcher_of(value) if isinstance(value, (list, tuple)) else getattr(value, "watcher", None)
        if found:
            return found
    return None


def see(watcher, result, inputs):
    """Tell the watcher a result's largest number, and the first not finite though what it is made of is,
    and the first that is beyond the watcher's limit; first in the order of the index.

    inputs: of an operation on single numbers, which are each other's causes place by place; None where each
    result has many. -inf that is put in by a mask is nobody's loss, and neither is what follows from a loss.
    """
    result = np.asarray(result)
    if watcher is None or result.dtype.kind != "f" or not result.size:
        return
    bad = ~np.isfinite(result)
    size = np.where(bad, -1, np.abs(result))
    over = size > getattr(watcher, "limit", math.inf)
    beyond = found(result, int(over.argmax())) if over.any() else None
    largest = found(result, int(size.argmax())) if size.max() >= 0 else None
    for value in inputs or ():
        bad = bad & np.isfinite(value) if np.asarray(value).dtype.kind == "f" else bad
    watcher(largest, found(result, int(bad.argmax())) if bad.any() else None, beyond)


def found(result, at):
    """The number at a place in a flattened result."""
    place = tuple(int(i) for i in np.unravel_index(at, result.shape))
    return Found(float(result[place]), place, result.shape, line_here())


def line_here():
    """The line of source that asked for the operation: the nearest one outside NumPy and this file."""
    frame = sys._getframe(1)
    while frame and (frame.f_code.co_filename == __file__ or "numpy" in frame.f_globals.get("__name__", "")):
        frame = frame.f_back
    if frame is None:
        return ""
    return linecache.getline(frame.f_code.co_filename, frame.f_lineno).split("  #")[0].strip()


def first_beyond(array, limit=math.inf):
    """The index of the first number that is not finite, or larger than limit; None if there is none."""
    with np.errstate(invalid="ignore"):
        bad = ~(np.abs(plain(array)) <= min(limit, sys.float_info.max))
    return tuple(int(i) for i in np.unravel_index(int(bad.argmax()), bad.shape)) if bad.any() else None
