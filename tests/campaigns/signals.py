"""Signals wherever they come, and a terminal that goes away: saved, exit code 75, the rest is bit for bit."""

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import minigpt.evaluate
from minigpt import checkpoint, run, trainer, training
from minigpt.errors import CheckpointError
from minigpt.promises import checked_record
from minigpt.shelf import checkpoints, path_of
from tests.campaigns import Row, tally
from tests.support.tiny_runs import ended, forked, go, in_memory, losses, recipe, same_run

STEPS = 12
PLAN = {"steps": STEPS, "checkpoint_every": 4, "eval_every": 3, "sample_every": 4, "sample_tokens": 4}
# where a signal comes: (the object, the name of the function, in which call of it)
PLACES = {
    "reading the data": (training, "read_corpus", 1),
    "the first step": (trainer, "train_step", 1),
    "a step": (trainer, "train_step", 7),
    "the last step": (trainer, "train_step", STEPS),
    "a validation": (minigpt.evaluate, "nats_of_rows", 2),
    "a sample": (training, "continuation", 2),
    "copying for a save": (checkpoint, "snapshot", 1),
    "writing a checkpoint": (checkpoint, "written", 1),
    "writing the last checkpoint": (checkpoint, "written", 3),
    "a rename": (checkpoint, "prune", 2),
    "the final validation": (run, "finish", 1),
}
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def campaign(scale=1.0):
    """Every place with every signal at scale 1; with one of them below."""
    numbers = SIGNALS if scale >= 1 else SIGNALS[:1]
    with in_memory() as folder:
        folder = Path(folder)
        whole = folder / "whole"
        go(recipe(whole, **PLAN))
        cases = [(place, number) for place in PLACES for number in numbers]
        wrong = [case for case in cases if not stops(folder / f"{case[0]} {case[1]}", whole, *case)]
        fewer = cases if scale >= 1 else cases[::3]
        twice = [case for case in fewer if not second(folder / f"twice {case[0]} {case[1]}", whole, *case)]
        return [
            row("a signal in any phase: exit code 75, saved, resumed equal", cases, wrong),
            row("a second signal: ends at once, checkpoints whole, resumed equal", fewer, twice),
            gone(folder / "gone", whole),
            during_imports(max(1, round(20 * scale))),
        ]


def row(goal, cases, wrong):
    found = tally(goal, len(cases), wrong=len(wrong))
    return found._replace(value=f"{found.value}: {wrong[0]}") if wrong else found


def interrupted(out, place, *numbers):
    """The exit code of a run to which signals come in a place; others than the first a moment later."""
    where, name, call = PLACES[place]
    function, calls = getattr(where, name), []

    def meets(*arguments, **named):
        calls.append(name)
        if len(calls) == call:
            for number in numbers:
                os.kill(os.getpid(), number)
                time.sleep(0.05)
        return function(*arguments, **named)

    with mock.patch.object(where, name, meets):
        return ended(forked(lambda: go(recipe(out, **PLAN)), out.with_suffix(".err")))


def stops(out, whole, place, number):
    """Whether one signal saves and stops the run, and the same command does the rest."""
    code, said = interrupted(out, place, number), out.with_suffix(".err").read_text()
    return (code, said) == (75, "") and is_saved(out) and goes_on(out, whole)


def second(out, whole, place, number):
    """Whether a second signal ends it, with nothing half done."""
    code = interrupted(out, place, number, number)
    ends = (75, -number) if place == "reading the data" else (-number,)  # there, the first one ends it
    return code in ends and goes_on(out, whole)


def is_saved(out):
    """Whether the newest checkpoint is that of the last step that was done."""
    done = max(losses(out)) if (out / "metrics.jsonl").exists() else 0
    return not done or path_of(out, done).exists()


def goes_on(out, whole):
    """Whether the checkpoints are whole, and the same command does the rest bit for bit."""
    return is_whole(out) and go(recipe(out, **PLAN)) == 0 and same_run(out, whole, STEPS)


def is_whole(out):
    """Whether all that is called a checkpoint is one."""
    try:
        return all(checked_record(path) for path in checkpoints(out))
    except CheckpointError:
        return False


def gone(out, whole):
    """A reader such as `head` that reads three lines and leaves."""
    reader, writer = os.pipe()

    def writing():
        os.close(reader)
        return go(recipe(out, **PLAN), io.TextIOWrapper(os.fdopen(writer, "wb")))

    said = out.with_suffix(".err")
    child = forked(writing, said)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        for _ in range(3):
            pipe.readline()
    code, lines = ended(child), said.read_text().splitlines()
    good = code == 75 and len(lines) == 1 and "saved: " in lines[0] and is_saved(out) and goes_on(out, whole)
    goal = "standard output closed: exit code 75, one line, saved, resumed equal"
    return Row(goal, "75", f"exit code {code}, {len(lines)} line", good)


def during_imports(trials):
    """Ctrl-C as soon as NumPy is being loaded, and up to a second later."""
    wrong = 0
    for trial in range(trials):
        command, pipe = [sys.executable, "-m", "minigpt", "tokenize", "encode", "to be"], subprocess.PIPE
        process = subprocess.Popen(command, stdout=pipe, stderr=pipe)
        while "numpy" not in maps(process.pid) and process.poll() is None:
            time.sleep(0.001)
        time.sleep(trial / trials)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=300)
        wrong += process.returncode not in (0, 130) or err != b""
    return tally("Ctrl-C during the imports: exit code 130, nothing said", trials, wrong=wrong)


def maps(pid):
    try:
        return Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return ""
