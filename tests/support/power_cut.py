"""What a disk may hold after a power cut: a model of files, folders and fsync, to replay recorded calls on.

fsync of a file makes its bytes last, fsync of a folder its names. Whatever was not fsynced may be there or
not: bytes wholly, by half, as zeros or not at all; changes of names each by itself, in any combination.
"""

import itertools
from pathlib import Path

import numpy as np

CONTENTS = ("lost", "half", "zeros", "there")  # what becomes of bytes that were not fsynced
MOST = 6  # changes of names in one folder of which all combinations are tried; of more, some at random


class File:
    """Bytes, and those of them that last."""

    def __init__(self, content=b""):
        self.now = self.lasting = content

    def content(self, fate):
        """What is found after the cut."""
        if self.now == self.lasting or fate == "lost":
            return self.lasting
        half = self.now[: (len(self.lasting) + len(self.now)) // 2]
        zeros = self.lasting + bytes(max(0, len(self.now) - len(self.lasting)))
        return {"half": half, "zeros": zeros, "there": self.now}[fate]


class Folder:
    """Names, those that last, and the changes between the two."""

    def __init__(self):
        self.now, self.lasting, self.changes = {}, {}, []

    def change(self, name, node, old=None):
        """name now stands for node, None for nothing; old, if given, for nothing any more."""
        self.changes.append((name, node, old))
        apply(self.now, self.changes[-1])

    def fsync(self):
        """Make the names last."""
        self.lasting, self.changes = dict(self.now), []

    def chances(self, dice):
        """Yield the names that may be found after a cut."""
        n = len(self.changes)
        if n <= MOST:
            choices = itertools.product((False, True), repeat=n)
        else:
            choices = [[False] * n, [True] * n, *(dice.random((4, n)) < 0.5)]
        for choice in choices:
            names = dict(self.lasting)
            for happened, change in zip(choice, self.changes, strict=True):
                if happened:
                    apply(names, change)
            yield names


def apply(names, change):
    name, node, old = change
    if old:
        names.pop(old, None)
    if node is None:
        names.pop(name, None)
    else:
        names[name] = node


class Disk:
    """A folder as it is before the calls, all of it lasting."""

    def __init__(self, root):
        self.root, self.top, self.dice = Path(root), Folder(), np.random.default_rng(0)
        for path in sorted(self.root.rglob("*")):
            folder = self.at(path.parent)
            folder.now[path.name] = Folder() if path.is_dir() else File(path.read_bytes())
        self.fsync_all(self.top)

    def fsync_all(self, folder):
        folder.fsync()
        for node in folder.now.values():
            if isinstance(node, Folder):
                self.fsync_all(node)

    def at(self, path):
        """What a path stands for now."""
        node = self.top
        for name in path.relative_to(self.root).parts:
            node = node.now[name]
        return node

    def do(self, call):
        """Carry out one Call."""
        path, folder = call.path, self.at(call.path.parent) if call.path != self.root else None
        match call.name:
            case "open" if path.name not in folder.now:
                folder.change(path.name, File())
            case "open":
                self.at(path).now = b""  # of the calls that are seen, all cut off what was there
            case "write":
                self.at(path).now += call.more
            case "fsync" if isinstance(node := self.at(path), Folder):
                node.fsync()
            case "fsync":
                node.lasting = node.now
            case "rename":
                folder.change(call.more.name, folder.now[path.name], old=path.name)
            case "mkdir":
                folder.change(path.name, Folder())
            case "unlink" | "rmdir":
                folder.change(path.name, None)
            case _:
                raise ValueError(f"no call that changes a disk: {call}")

    def chances(self):
        """Yield what may be found if the power is cut now: {relative path: bytes, or None for a folder}."""
        seen = set()
        for fate in CONTENTS:
            for names in self.top.chances(self.dice):
                for found in self.found(names, fate, ""):
                    key = hash(frozenset(found.items()))
                    if key not in seen:
                        seen.add(key)
                        yield found

    def found(self, names, fate, prefix):
        """Yield contents for these names of a folder; those of folders below vary together."""
        flat = {prefix + n: node.content(fate) for n, node in names.items() if isinstance(node, File)}
        below = {prefix + n: node for n, node in names.items() if isinstance(node, Folder)}
        chances = {n: list(node.chances(self.dice)) for n, node in below.items()}
        for turn in range(max(map(len, chances.values()), default=1)):
            found = dict(flat)
            for n, options in chances.items():
                found[n] = None
                for inner in self.found(options[turn % len(options)], fate, n + "/"):
                    found |= inner
            yield found


def laid_out(found, folder):
    """Make a folder of what was found."""
    folder.mkdir()
    for name in sorted(found):
        path = folder / name
        path.mkdir() if found[name] is None else path.write_bytes(found[name])
    return folder
