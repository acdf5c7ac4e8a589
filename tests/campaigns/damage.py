"""Any flipped bit, other length, missing file: found, named, and the one before is taken."""

import os
import shutil
from pathlib import Path
from unittest import mock

import numpy as np

from minigpt.errors import CheckpointError
from minigpt.promises import FILES, STATE, checked_record
from minigpt.shelf import newest_sound
from tests.campaigns import Row, tally
from tests.support.tiny_runs import in_memory, is_state_at, save

SMALL = 1024  # bytes of a file of which every bit is flipped; of larger ones, one bit of every byte


def campaign(scale=1.0):
    """All bits and bytes at scale 1; every 1/scale-th below."""
    stride = max(1, round(1 / scale))
    with in_memory() as folder, mock.patch.object(os, "fsync", os.fstat):
        folder = Path(folder)
        found = flipped(folder / "bits", stride), cut_off(folder / "cuts", stride)
        return [*found, passed_over(folder / "auto")]


def is_named(path, name):
    """Whether a damaged checkpoint is refused by a message that names the file."""
    try:
        checked_record(path, (name,) if name in FILES else None)  # the other files are as they were
    except CheckpointError as error:
        return str(path / name) in str(error)
    return False


def flipped(folder, stride=1):
    """One bit at a time, in every file, state.json too."""
    path, dice, trials, missed = checkpoint_in(folder), np.random.default_rng(0), 0, 0
    for file in sorted(path.iterdir()):
        content = file.read_bytes()
        with open(file, "r+b", buffering=0) as out:
            for place in range(0, len(content), stride):
                for bit in range(8) if len(content) <= SMALL else [int(dice.integers(8))]:
                    os.pwrite(out.fileno(), bytes([content[place] ^ 1 << bit]), place)
                    trials, missed = trials + 1, missed + (not is_named(path, file.name))
                os.pwrite(out.fileno(), content[place : place + 1], place)
    checked_record(path)
    goal = "one flipped bit in any file of a checkpoint is found and the file named"
    return tally(goal, trials, missed=missed)


def cut_off(folder, stride=1):
    """Every length that is too short, a byte too many, no file; a file too many is none."""
    path, trials, missed = checkpoint_in(folder), 0, 0
    for file in sorted(path.iterdir()):
        content = file.read_bytes()
        for size in [*range(0, len(content), stride), len(content) + 1]:
            os.truncate(file, size)
            trials, missed = trials + 1, missed + (not is_named(path, file.name))
        file.unlink()
        trials, missed = trials + 1, missed + (not is_named(path, file.name))
        file.write_bytes(content)
    (path / "more").write_bytes(b"")
    trials, missed = trials + 1, missed + is_named(path, "more")
    goal = "any other length, a missing file: the same; an additional file: no damage"
    return tally(goal, trials, missed=missed)


def checkpoint_in(folder):
    folder.mkdir()
    return save(folder, 12)


def passed_over(folder):
    """A damaged file of each name in the newest: the one before is taken, and this is said."""
    names = [path.name for path in checkpoint_in(folder).iterdir()]
    right = sum(falls_back(folder / name, name) for name in names)
    goal = "--resume auto passes over a damaged checkpoint, says so, and keeps it"
    return Row(goal, "all", f"{right} of {len(names)} files", right == len(names) and STATE in names)


def falls_back(out, name):
    out.mkdir()
    save(out, 12)
    newest = save(out, 13)
    os.truncate(newest / name, (newest / name).stat().st_size // 2)
    said = []
    taken = newest_sound(out, said.append)
    kept = newest.with_name(newest.name + ".damaged")
    good = is_state_at(taken, 12) and kept.is_dir() and not newest.exists() and len(said) == 1
    shutil.rmtree(out)
    return good and str(newest / name) in said[0] and str(kept) in said[0] and str(taken) in said[0]
