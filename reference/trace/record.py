"""A training step seen from outside: what every operation was given, and what it made of it.

The table of operations is a value that is passed in, so every entry of it can be wrapped: what is traced is
the code itself, and an operation that is added to the table tomorrow is traced without a word here. Between
operations arrays are of a subclass that NumPy asks first (NEP 13, NEP 18): so the residual's sums are seen.
Within an operation it is plain NumPy; a profile function looks at its variables at the moment it returns.
"""

import functools
import inspect
import sys
from types import FunctionType, SimpleNamespace

import numpy as np

from reference.trace.calls import site_of
from reference.trace.events import Event
from reference.trace.notes import Notes


class Between(np.ndarray):
    """An array between operations, which tells its recorder what NumPy does with it there."""

    recorder = None

    def __array_finalize__(self, parent):
        self.recorder = getattr(parent, "recorder", None)

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        call = functools.partial(getattr(ufunc, method), **options)
        return self.told(ufunc.__name__, call, inputs, sys._getframe(1))

    def __array_function__(self, function, types, arguments, options):
        call = functools.partial(function, **options)
        return self.told(function.__name__, call, arguments, sys._getframe(1))

    def told(self, name, call, inputs, frame):
        """Do it, and let the recorder note it."""
        recorder = next((one.recorder for one in inputs if isinstance(one, Between)), self.recorder)
        return recorder.between(name, call, inputs, frame)


class Recorder:
    """Wraps a table of operations, and keeps Notes of what happens."""

    def __init__(self):
        self.notes, self.block, self.stage = Notes(), None, "forward"

    def table(self, functions):
        """The functions of an ops table, each wrapped."""
        return SimpleNamespace(**{name: self.wrapped(name, call) for name, call in functions.items()})

    def wrapped(self, name, function):
        """A function that is recorded whenever it is called; a block is one that is given the table."""
        signature = inspect.signature(function)
        kind = "block" if "ops" in signature.parameters else "operation"

        @functools.wraps(function)
        def seen(*given, **options):
            bound, site = signature.bind(*given, **options), site_of(sys._getframe(1))
            self.stage = next((stage for stage in ("forward", "backward") if name.endswith(stage)), "update")
            event = Event(name, kind, self.stage, site, function, inside=self.block)
            if kind == "block":
                return self.run_block(event, bound)
            return self.run_operation(event, bound)

        return seen

    def run_block(self, event, bound):
        """A block's own operations are events; it keeps its arrays as they are."""
        outer, self.block = self.block, self.notes.add(event)
        self.notes.inputs(event, bound.arguments)
        result = event.function(*bound.args, **bound.kwargs)
        self.block = outer
        return result

    def run_operation(self, event, bound):
        """Call an operation with plain arrays; note all that it had and made."""
        given = bound.arguments.items()
        streams = {name: Stream(value) for name, value in given if inspect.isgenerator(value)}
        if not streams:
            self.notes.add(event)
        arguments = dict(bound.arguments)
        for name, value in arguments.items():
            bound.arguments[name] = streams.get(name, plain(value))
        result, variables = with_variables(event.function, bound)
        if streams:  # what it asked for is made while it runs, by events that come before it
            self.stage, event.stage = "update", "update"
            self.notes.add(event)
        self.notes.results(event, result)
        if not streams:  # else they are those of its last turn
            self.notes.variables(event, variables, arguments)
        for name, stream in streams.items():
            arguments[name] = stream.seen
            for title, gradient in stream.seen.items():
                self.notes.rename(title, gradient)
        self.notes.inputs(event, arguments)
        return handed_on(result, self)

    def between(self, name, call, inputs, frame):
        """Do what NumPy was asked for outside all operations, and note it."""
        event = Event(name, "between", self.stage, site_of(frame), inside=self.block)
        self.notes.add(event)
        result = call(*plain(inputs, deep=True))
        names = event.site.operands or [f"input {place}" for place in range(len(inputs))]
        self.notes.results(event, result)
        self.notes.inputs(event, dict(zip(names, inputs, strict=False)))
        return handed_on(result, self)


class Stream:
    """Pairs of (name, gradient) that are made when they are asked for; seen keeps them."""

    def __init__(self, pairs):
        self.pairs, self.seen = pairs, {}

    def __iter__(self):
        for name, gradient in self.pairs:
            self.seen[f"d{name}"] = gradient
            yield name, plain(gradient)


def with_variables(function, bound):
    """What a function returns, and its variables by name at that moment."""
    found = {}

    def at_return(frame, event, _):
        if event == "return" and frame.f_code is function.__code__:
            found.update(frame.f_locals)

    before = sys.getprofile()
    sys.setprofile(at_return if isinstance(function, FunctionType) else before)
    try:
        return function(*bound.args, **bound.kwargs), found
    finally:
        sys.setprofile(before)


def plain(value, deep=False):
    """An array as NumPy's own; everything else as it is. deep: also in lists and tuples."""
    if deep and isinstance(value, (list, tuple)):
        return type(value)(plain(one, deep) for one in value)
    return value.view(np.ndarray) if isinstance(value, Between) else value


def handed_on(result, recorder):
    """A result whose arrays tell of what happens to them; a cache in it stays as it is."""
    if isinstance(result, tuple):
        return tuple(one if isinstance(one, tuple) else handed_on(one, recorder) for one in result)
    if not isinstance(result, np.ndarray):
        return result
    view = result.view(Between)
    view.recorder = recorder
    return view
