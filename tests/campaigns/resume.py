"""Resumed at every step, and killed at random moments: the same losses, the same weights, bit for bit."""

import io
import os
import random
import signal
import time
from pathlib import Path

from minigpt.errors import CheckpointError
from minigpt.promises import checked_record
from minigpt.shelf import checkpoints, path_of
from tests.campaigns import tally
from tests.support.tiny_runs import forked, go, in_memory, losses, recipe

STEPS, KILLED_STEPS, KILLS = 60, 3000, 200
PATIENCE = 600  # seconds until a run that does not end is given up


def campaign(scale=1.0):
    """Of a 60-step run every step at scale 1; 200 kills at scale 1."""
    with in_memory() as folder:
        folder = Path(folder)
        return [at_every_step(folder / "steps", max(1, round(1 / scale))), killed(folder / "kills", scale)]


def weights(out, step):
    return checked_record(path_of(out, step))["files"]["model.safetensors"]["sha256"]


def at_every_step(folder, stride=1):
    """From each checkpoint to the end, against the run that was never stopped."""
    folder.mkdir()
    whole = folder / "whole"
    go(recipe(whole, steps=STEPS, keep=STEPS))
    expected, last = losses(whole), weights(whole, STEPS)
    starts = range(1, STEPS, stride)
    wrong = sum(not same_end(folder / str(step), whole, step, expected, last) for step in starts)
    goal = f"resumed at every step of {STEPS}: losses and SHA-256 of the weights"
    return tally(goal, len(starts), differing=wrong)


def same_end(out, whole, step, expected, last):
    code = go(recipe(out, steps=STEPS, resume=str(path_of(whole, step)), checkpoint_every=1000))
    rest = {s: values for s, values in expected.items() if s > step}
    return code == 0 and losses(out) == rest and weights(out, STEPS) == last


def killed(folder, scale=1.0):
    """kill -9 at random moments of a run that saves after every step, until it was often enough."""
    folder.mkdir()
    steps, kills, dice = max(30, round(KILLED_STEPS * scale)), max(1, round(KILLS * scale)), random.Random(0)
    go(recipe(folder / "whole", steps=steps, checkpoint_every=steps))
    out = folder / "killed"
    unreadable = done = 0
    for kill in range(kills):
        # each life ends before a share of the steps that are left, so that all kills find a run to kill
        done = lives(out, steps, kills - kill, dice)
        unreadable += not is_readable(out)
    code = go(recipe(out, steps=steps))
    same = code == 0 and losses(out) == losses(folder / "whole")
    same = same and weights(out, steps) == weights(folder / "whole", steps) and done < steps
    goal = "kill -9 at random moments: all checkpoints, then losses and SHA-256 of the weights"
    return tally(goal, kills, unreadable=unreadable, differing=int(not same))


def lives(out, steps, lives_left, dice):
    """Let the run live for a while, and kill it; the step that it had reached."""
    before = newest(out)
    child = forked(lambda: go(recipe(out, steps=steps), io.StringIO()))
    goal = before + dice.randint(1, max(1, (steps - before) // (lives_left + 1)))
    end = time.monotonic() + PATIENCE
    while newest(out) < goal:
        if time.monotonic() > end or os.waitpid(child, os.WNOHANG)[0]:
            raise AssertionError(f"{out}: the run ended, or did not go on, at step {newest(out)}")
        time.sleep(0.001)
    time.sleep(dice.random() * 0.03)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return newest(out)


def newest(out):
    found = checkpoints(out)
    return int(found[-1].name[-8:]) if found else 0


def is_readable(out):
    """Whether every checkpoint that can be seen verifies."""
    try:
        return bool([checked_record(path) for path in checkpoints(out)])
    except CheckpointError:
        return False
