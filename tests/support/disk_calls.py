"""The calls by which a process changes a folder, seen one by one: to write down, to fail or to die in.

Reading changes nothing, so that death before a read is death before the next change.
"""

import contextlib
import os
from pathlib import Path
from typing import NamedTuple

ON_PATHS = ("open", "rename", "replace", "unlink", "mkdir", "rmdir", "truncate")
ON_FILES = ("write", "fsync", "ftruncate")
DIED = 77


class Call(NamedTuple):
    """One call: its name, the path it is about, and what else it was given, a new path or bytes."""

    name: str
    path: Path
    more: object = None


@contextlib.contextmanager
def watched(folder, meet):
    """Inside, each call that changes something in a folder becomes meet(call, do); do() carries it out."""
    real = {name: getattr(os, name) for name in (*ON_PATHS, *ON_FILES)}

    def wrapped(name):
        def call(first, *more, **named):
            met = about(name, first, *more)
            if met is None or Path(folder) not in (met.path, *met.path.parents):
                return real[name](first, *more, **named)
            return meet(met, lambda: real[name](first, *more, **named))

        return call

    for name in real:
        setattr(os, name, wrapped(name))
    try:
        yield
    finally:
        for name, function in real.items():
            setattr(os, name, function)


def about(name, first, *more):
    """The Call, or None for one that changes nothing."""
    if name in ON_FILES:
        path = Path(os.readlink(f"/proc/self/fd/{first}"))
        return Call(name, path, bytes(more[0]) if name == "write" else None)
    if name == "open" and not more[0] & (os.O_CREAT | os.O_TRUNC):
        return None
    return Call("rename" if name == "replace" else name, Path(first), Path(more[0]) if "re" in name else None)


def recorded(folder, action):
    """The Calls of an action, in order."""
    calls = []
    with watched(folder, lambda call, do: calls.append(call) or do()):
        action()
    return calls


def dies_at(number, folder, action):
    """Whether an action, in a process of its own, met call `number`, counted from 0, and died there by kill.

    Of a write, half is done.
    """
    child = os.fork()
    if not child:
        try:
            left = [number]

            def meet(call, do):
                if not left[0]:
                    if call.name == "write" and call.path.is_file():
                        with open(call.path, "ab") as file:
                            file.write(call.more[: len(call.more) // 2])
                    os._exit(DIED)
                left[0] -= 1
                return do()

            with watched(folder, meet):
                action()
            os._exit(0)
        finally:
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code not in (0, DIED):
        raise AssertionError(f"call {number}: the action failed")
    return code == DIED


@contextlib.contextmanager
def failing_at(number, folder, error):
    """Inside, call `number` that changes a folder raises OSError(error); yields a list, [] until it has."""
    met = []

    def meet(call, do):
        met.append(call)
        if len(met) == number + 1:
            failed.append(call)
            raise OSError(error, os.strerror(error))
        return do()

    failed = []
    with watched(folder, meet):
        yield failed
