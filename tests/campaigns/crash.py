"""A save that dies in any call, fails in any call, or loses its power after any: step n or n - 1, whole."""

import contextlib
import errno
import os
from pathlib import Path
from unittest import mock

from minigpt.errors import CheckpointError
from minigpt.promises import checked_record
from minigpt.shelf import checkpoints, newest_sound
from tests.campaigns import tally
from tests.support.disk_calls import dies_at, failing_at, recorded
from tests.support.power_cut import Disk, laid_out
from tests.support.tiny_runs import in_memory, is_state_at, save

KEEP = {"keep": 2, "keep_every": 10}


def campaign(scale=1.0):
    """Death, errors and power cuts; a smaller scale leaves out calls.

    Nothing waits for the disk: what fsync is good for, the model of a disk plays; what dies is no machine.
    """
    stride = max(1, round(1 / scale))
    with in_memory() as folder, mock.patch.object(os, "fsync", os.fstat):
        folder = Path(folder)
        return [died(folder / "died", stride), failed(folder / "failed", stride),
                cut(folder / "cut", stride), cut_alone(folder / "alone", stride)]  # fmt: skip


def shelf(folder):
    """Steps 10 to 12 of a run, of which the next save deletes one; and what a killed run left behind."""
    folder.mkdir(parents=True)
    for step in (10, 11, 12):
        save(folder, step, keep=9)
    (folder / ".step_00000013.1.tmp").mkdir()
    (folder / ".step_00000013.1.tmp" / "model.safetensors").write_bytes(b"a part")
    return folder


def step_found(folder):
    """The step that a run would go on from, bit for bit as it was; AssertionError if it had to fall back.

    Raises CheckpointError if any checkpoint that can be seen is not whole.
    """
    warnings = []
    for path in checkpoints(folder):
        checked_record(path)
    path = newest_sound(folder, warnings.append)
    if warnings:
        raise AssertionError(warnings[0])
    step = int(path.name[-8:])
    if not is_state_at(path, step):
        raise AssertionError(f"{path} is not the state of step {step}")
    return step


def verdict(folder, allowed):
    """("unreadable" or "differing" or None) of a folder after something happened to it."""
    try:
        return None if step_found(folder) in allowed else "differing"
    except CheckpointError:
        return "unreadable"
    except AssertionError:
        return "differing"


def count(verdicts):
    return {kind: verdicts.count(kind) for kind in ("unreadable", "differing")}


def died(folder, stride=1):
    """kill -9 in every call of a save, and after that the same save again."""
    verdicts, number = [], 0
    while True:
        out = shelf(folder / str(number))
        if not dies_at(number, out, lambda out=out: save(out, 13, **KEEP)):
            break
        verdicts.append(verdict(out, (12, 13)))
        save(out, 13, **KEEP)
        verdicts.append(verdict(out, (13,)) or (None if is_tidy(out) else "differing"))
        number += stride
    goal = "kill -9 in every call of a save that changes the disk"
    return tally(goal, len(verdicts) // 2, **count(verdicts))


def is_tidy(out):
    """Whether nothing is left but the checkpoints that are to be kept."""
    steps = [int(path.name[-8:]) for path in checkpoints(out)]
    return steps in ([10, 12, 13], [12, 13]) and len(list(out.iterdir())) == len(steps)


def failed(folder, stride=1):
    """A full disk, and a broken one, in every call of a save."""
    verdicts, trials = [], 0
    for error in (errno.ENOSPC, errno.EIO):
        number = 0
        while True:
            out = shelf(folder / f"{error}-{number}")
            with failing_at(number, out, error) as met:
                with contextlib.suppress(CheckpointError):
                    save(out, 13, **KEEP)
            if not met:
                break
            trials += 1
            verdicts.append(verdict(out, (12, 13)))
            save(out, 13, **KEEP)
            verdicts.append(verdict(out, (13,)))
            number += stride
    return tally("ENOSPC and EIO in every such call", trials, **count(verdicts))


def cut(folder, stride=1, keep=KEEP, what=""):
    """The power is cut after each call, and whatever was not fsynced is there or not."""
    out = shelf(folder / "run")
    disk = Disk(out)
    calls = recorded(out, lambda: save(out, 13, **keep))
    renamed = next(i for i, call in enumerate(calls) if call.more == out / "step_00000013")
    fsyncs = (i for i, call in enumerate(calls) if i > renamed and call == ("fsync", out, None))
    fsynced = next(fsyncs, len(calls) - 1)  # when all is done, it must last
    verdicts = []
    for i, call in enumerate(calls):
        disk.do(call)
        if i % stride and i not in (renamed, fsynced):
            continue
        allowed = (12,) if i < renamed else (12, 13) if i < fsynced else (13,)
        for found in disk.chances():
            image = laid_out(found, folder / str(len(verdicts)))
            verdicts.append(verdict(image, allowed))
    goal = f"power cut after every call of a save{what}, un-fsynced bytes and names lost, torn or there"
    return tally(goal, len(verdicts), **count(verdicts))


def cut_alone(folder, stride=1):
    """The same where no older checkpoint goes, whose deletion would make the new one's name last."""
    return cut(folder, stride, {"keep": 9}, " that deletes nothing")
