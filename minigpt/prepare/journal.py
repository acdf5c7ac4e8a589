"""How far an output is, on the disk: never ahead of the tokens it speaks of."""

import dataclasses
import json
import os
import re

from minigpt.disk import lock_folder
from minigpt.errors import DataError
from minigpt.prepare import sealed

JOURNAL = "journal.json"
UNFINISHED = "unfinished.bin"  # the tokens of the shard that is being written
LEFT_BEHIND = (
    r"(journal|manifest|tokenizer|tokenizer_config)\.json\.[0-9]+\.tmp"  # of disk.replace_file, by a kill
)


@dataclasses.dataclass
class State:
    """How far an output is: the inputs before (file, offset), and `skip` tokens of what comes next."""

    file: int = 0
    offset: int = 0  # bytes, or rows
    skip: int = 0  # a shard may end within a unit
    documents: int = 0
    skipped: int = 0
    text_bytes: int = 0
    unfinished: int = 0  # tokens of the shard that is being written
    shards: list = dataclasses.field(default_factory=list)  # the finished ones, as in the manifest
    done: bool = False

    @property
    def tokens(self):
        """How many are written."""
        return sum(shard["tokens"] for shard in self.shards) + self.unfinished


def open_folder(folder, may_hold=""):
    """Make an output's folder if need be and keep others out of it; the lock ends with the process.

    may_hold: a pattern of further names that do not make it someone else's. Returns the lock, to be closed.
    """
    try:
        if not folder.is_dir() and os.path.lexists(folder):
            raise DataError(f"{folder}: expected a folder to write, found a file; give another --out")
        folder.mkdir(parents=True, exist_ok=True)
        lock = lock_folder(folder, "minigpt data", DataError)
    except OSError as reason:
        raise DataError(
            f"out: {folder}: cannot be written to: {reason.strerror}; give another --out, or this user the "
            "right to write there"
        ) from None
    try:
        refuse_foreign(folder, may_hold)
        for path in folder.iterdir():
            if re.fullmatch(LEFT_BEHIND, path.name):
                path.unlink()
    except BaseException:
        os.close(lock)
        raise
    return lock


def refuse_foreign(folder, may_hold):
    """DataError if a folder holds something, and neither a journal nor a manifest."""
    names = {path.name for path in folder.iterdir()}
    ours = f"{LEFT_BEHIND}|{may_hold}"
    foreign = sorted(name for name in names if not re.fullmatch(ours, name))
    if foreign and not names & {JOURNAL, "manifest.json"}:
        shown = ", ".join(foreign[:3]) + (", ..." if len(foreign) > 3 else "")
        raise DataError(
            f"{folder}: expected an empty folder or an output of minigpt data, found {shown}; "
            "nothing is overwritten: give another --out"
        )


def save(folder, settings, state):
    """Put the journal in place of the last one; afterwards a kill loses nothing of what it says."""
    sealed.write(folder / JOURNAL, {"settings": settings, "state": dataclasses.asdict(state)})


def load(folder, settings):
    """The State that a journal holds, a new one if there is none, or if nothing had been written yet.

    DataError if it was begun otherwise. What may have changed are inputs that were not begun yet: a line that
    stopped the work may be mended. Not in a part, whose share of the inputs depends on the sizes of all.
    """
    path = folder / JOURNAL
    if not path.exists():
        return State()
    try:
        journal = sealed.read(path, {})
        state, then = State(**journal["state"]), journal["settings"]
    except (KeyError, TypeError) as reason:
        raise DataError(f"{path}: of another version: {reason!r}; begin anew with another --out") from None
    if state == State():
        return state
    if state.done or "part" in settings or not differ_later(then, settings, begun=state.file + 1):
        refuse_others(path, then, settings)
    return state


def differ_later(then, now, begun):
    """Whether settings differ in nothing but inputs, and in none of the first ones, which were begun."""
    old, new = then.get("inputs", []), now.get("inputs", [])
    return old[:begun] == new[:begun] and then | {"inputs": new} == now


def refuse_others(path, then, now):
    """DataError with every difference between what an output was begun with and what is asked for now."""
    if found := list(differences(then, json.loads(json.dumps(now)))):
        raise DataError(
            f"{path}: begun with other settings or inputs: {'; '.join(found)}; "
            "give the same ones again, or another --out"
        )


def differences(then, now, name=""):
    """Yield a sentence for each difference between two JSON values; lists of inputs are compared by name."""
    if then == now:
        return
    if isinstance(then, dict) and isinstance(now, dict):
        for key in dict.fromkeys([*then, *now]):
            yield from differences(then.get(key), now.get(key), f"{name} {key}".strip())
    elif name == "inputs" and then and now:
        old, new = ({one["name"]: one for one in inputs} for inputs in (then, now))
        yield from (f"{one} was among the inputs, now it is not" for one in old if one not in new)
        yield from (f"{one} was not among the inputs, now it is" for one in new if one not in old)
        for one in old:
            if one in new:
                yield from differences(old[one], new[one], one)
        if old.keys() == new.keys() and list(old) != list(new):
            yield "the inputs were in another order"
    else:
        yield f"{name} was {then!r}, now {now!r}"
