"""No room: the run goes on, the checkpoint before is intact, a line says how much it needed and is free."""

import os
import re
import resource
import shutil
import stat
import subprocess
from pathlib import Path
from unittest import mock

from minigpt import run
from minigpt.shelf import checkpoints
from tests.campaigns import Row
from tests.support.tiny_runs import ended, forked, go, in_memory, losses, recipe, same_run

STEPS, FULL_AT, EVERY = 40, 15, 10
KIBIBYTES = 200  # of the small file system
NEEDED = re.compile(
    r"minigpt: \S+step_\d+: cannot be written: .*; it needs [\d,]+ bytes, [\d,]+ are free in \S+; "
    r"the last checkpoint is \S+step_00000010"
)


def campaign(scale=1.0):
    """All of it at every scale: it takes seconds."""
    with in_memory() as folder:
        folder = Path(folder)
        whole = folder / "whole"
        go(recipe(whole, steps=STEPS, checkpoint_every=EVERY))
        return [
            limited(folder / "limit", whole, 12_000, "RLIMIT_FSIZE below a checkpoint's largest file"),
            limited(folder / "logs", whole, 2_500, "RLIMIT_FSIZE that also ends metrics.jsonl", logged=False),
            devices(folder / "devices", whole),
            small_file_system(folder / "small", whole),
        ]


def full_from(out, limit):
    """Run to the end with files that may not outgrow a limit after some steps; (exit code, what was said)."""
    step = run.Run.step

    def until_full(self):
        if self.trainer.state.step == FULL_AT:
            self.saver.wait()
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        return step(self)

    said = out.with_suffix(".err")
    with mock.patch.object(run.Run, "step", until_full):
        code = ended(forked(lambda: go(recipe(out, steps=STEPS, checkpoint_every=EVERY)), said))
    return code, said.read_text().splitlines()


def limited(out, whole, limit, goal, logged=True):
    """The run ends with 1, as its weights are not saved; then the same command does the rest."""
    code, lines = full_from(out, limit)
    warned = [line for line in lines if NEEDED.match(line)]
    intact = [path.name for path in checkpoints(out)] == ["step_00000010"]
    went_on = len(warned) == (STEPS - FULL_AT) // EVERY + 1 and (not logged or losses(out) == losses(whole))
    again = go(recipe(out, steps=STEPS, checkpoint_every=EVERY))
    good = code == 1 and intact and went_on and again == 0 and same_run(out, whole, STEPS)
    before = "intact" if intact else "damaged"
    value = f"exit code {code}, {len(warned)} saves refused, checkpoint before {before}"
    return row(goal, good, value)


def row(goal, good, value):
    return Row(f"disk full: {goal}", "goes on, warns, resumes equal", value, good)


def devices(out, whole):
    """main.log and the terminal on /dev/full, which stays what it is."""
    out.mkdir()
    (out / "main.log").symlink_to("/dev/full")
    said = out.with_suffix(".err")
    plan = recipe(out, steps=STEPS, checkpoint_every=EVERY)
    code = ended(forked(lambda: go(plan, open("/dev/full", "w")), said))
    lines = said.read_text().splitlines()
    once = sorted(line.split(": ")[1] for line in lines) == sorted([str(out / "main.log"), "standard output"])
    device = stat.S_ISCHR(os.stat("/dev/full").st_mode)
    good = code == 0 and once and device and same_run(out, whole, STEPS)
    return row("main.log and the terminal on /dev/full", good, f"exit code {code}, {len(lines)} warnings")


def small_file_system(out, whole):
    """A disk with room for some checkpoints, which is then made larger."""
    out.mkdir()
    goal, options = f"a tmpfs of {KIBIBYTES} kB, later larger", f"size={KIBIBYTES}k"
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(out)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True, check=False).returncode:
        return row(goal, True, "not measured: no file system may be mounted here")
    try:
        plan = recipe(out / "run", steps=STEPS, checkpoint_every=EVERY, keep=99)
        said = out.with_suffix(".err")
        code, kept = ended(forked(lambda: go(plan), said)), len(checkpoints(out / "run"))
        subprocess.run(["mount", "-o", "remount,size=9m", str(out)], check=True)
        again = go(plan)
        warned = len(re.findall(r"it needs [\d,]+ bytes, [\d,]+ are free", said.read_text()))
        good = code == 1 and kept and warned and again == 0 and same_run(out / "run", whole, STEPS)
        return row(goal, bool(good), f"exit code {code}, {kept} checkpoints fit, {warned} refused")
    finally:
        subprocess.run(["umount", str(out)], check=True)
