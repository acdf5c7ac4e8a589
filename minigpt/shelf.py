"""A run's checkpoints side by side in its folder: which there are, which are sound, which are kept."""

import contextlib
import os
import re
from pathlib import Path

from minigpt.damage import COPY
from minigpt.disk import Forbidden, remove_folder
from minigpt.errors import CheckpointError
from minigpt.promises import STATE, AnotherVersion, checked_record, read_record
from minigpt.system import flush

NAME = re.compile(r"step_(\d{8,})")


def path_of(out, step):
    """The folder of a step's checkpoint."""
    return Path(out) / f"step_{step:08d}"


def step_of(path):
    """The step that a checkpoint's name stands for."""
    return int(NAME.fullmatch(path.name)[1])


def checkpoints(out):
    """The run's checkpoints, oldest first."""
    return sorted((path for path in Path(out).glob("step_*") if NAME.fullmatch(path.name)), key=step_of)


def temporary_of(path):
    """What a checkpoint is called while it is made, or deleted: no one takes it for whole."""
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def leftovers(out):
    """Temporary folders of a run that was killed: a run's folder is locked, so nobody works on them."""
    return list(Path(out).glob(".step_*.tmp"))


def prune(out, keep, keep_every, written):
    """Delete all checkpoints but the newest `keep`, every keep_every-th step's (0: none), and `written`.

    Each goes by way of a temporary name that the disk knows before the first file is gone: a kill, or a power
    cut, leaves no half of one.
    """
    spare = [path for path in checkpoints(out)[:-keep] if path != written]
    old = [path for path in spare if not keep_every or step_of(path) % keep_every]
    for path in old:
        path.rename(temporary_of(path))
    if old:
        flush(out)
    for folder in leftovers(out):
        remove_folder(folder)


def set_aside(path, why):
    """Rename a checkpoint so that it is none for the run and lost for nobody; its new path."""
    number, aside = 1, path.with_name(f"{path.name}.{why}")
    while aside.exists():
        number, aside = number + 1, path.with_name(f"{path.name}.{why}.{number + 1}")
    path.rename(aside)
    flush(path.parent)
    return aside


def newest_sound(out, warn):
    """The newest checkpoint that verifies, or None where there is none at all.

    Those that do not are warned of, warn(line), and set aside. Raises CheckpointError if none verifies: that
    is no reason to begin anew in silence, and nothing is changed.
    """
    damaged = []
    for path in reversed(checkpoints(out)):
        try:
            checked_name(path)
        except (AnotherVersion, Forbidden):  # which may be sound
            raise
        except CheckpointError as error:
            damaged.append((path, str(error).removesuffix(f"; {COPY}")))
            continue
        for bad, why in damaged:
            warn(f"{why}; it is kept as {set_aside(bad, 'damaged')}, and the run goes on from {path}")
        return path
    if damaged:
        others = ", ".join(path.name for path, _ in damaged[1:])
        raise CheckpointError(
            f"{out}: none of its {len(damaged)} checkpoints is sound: {damaged[0][1]}"
            + (f"; so are {others}" if others else "")
            + "; copy one here again, or begin anew with --resume never or another --out"
        )
    return None


def last_sound(out):
    """The newest checkpoint that no rejected step precedes: from a later one a run would go on lost."""
    for path in reversed(checkpoints(out)):
        with contextlib.suppress(CheckpointError):
            if not read_record(path / STATE)["guard"].get("not_finite"):
                return path
    return None


def checked_name(path):
    """Raise CheckpointError unless a checkpoint verifies and is of the step in its name."""
    if (step := checked_record(path)["step"]) != step_of(path):
        raise CheckpointError(f"{path} is damaged: expected step {step_of(path)}, found step {step} in it")
