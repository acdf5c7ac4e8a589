"""A training run of milliseconds a step, without a terminal: what campaigns interrupt and compare."""

import functools
import io
import json
import os
import signal
import sys
import tempfile
import traceback
from pathlib import Path
from unittest import mock

import numpy as np

import minigpt
from minigpt import checkpoint, run, training
from minigpt.options import Recipe
from minigpt.promises import checked_record
from minigpt.shelf import path_of
from minigpt.train import new_state

CONFIG = minigpt.GPTConfig(n_layer=1, n_head=1, n_embd=4, n_ctx=4, n_vocab=258)
SETTINGS = {"lr": 0.1, "seed": 3}
TEXT = "".join(f"the {a} {b} of the {c}. " for a in ("old", "new") for b in ("law", "song", "road")
               for c in ("sea", "sun")) * 9  # fmt: skip


@functools.cache
def tokenizer():
    return minigpt.Tokenizer.train([TEXT], CONFIG.n_vocab)


def state_at(step, config=CONFIG):
    """A state that no other step has, moments and all."""
    state = new_state(minigpt.init_params(config))._replace(step=step, updates=step)
    dice = np.random.default_rng(step)
    for buffer in (state.params.buffer, state.first, state.second):
        buffer[:] = dice.normal(size=buffer.size)
    return state


def save(out, step, **options):
    """The checkpoint of state_at(step)."""
    return checkpoint.save(out, CONFIG, state_at(step), SETTINGS, tokenizer(), **options)


def is_state_at(path, step):
    """Whether a checkpoint loads, and is that of state_at(step) bit for bit."""
    _, found, settings = checkpoint.load(path)
    wanted = state_at(step)
    same = [getattr(found, m).tobytes() == getattr(wanted, m).tobytes() for m in checkpoint.MOMENTS]
    same.append(found.params.buffer.tobytes() == wanted.params.buffer.tobytes())
    return all(same) and found.step == step and settings == SETTINGS


@functools.cache
def data():
    """The path of a text, and of its tokenizer."""
    folder = Path(tempfile.mkdtemp(prefix="minigpt-"))
    (folder / "text.txt").write_text(TEXT)
    tokenizer().save(folder / "tokenizer.json")
    return str(folder / "text.txt"), str(folder / "tokenizer.json")


def recipe(out, **changes):
    """60 steps of a model of about 2,000 parameters."""
    text, tok = data()
    sizes = {"n_layer": 1, "n_head": 1, "n_embd": 8, "context": 8, "batch_size": 2, "tokens_per_step": 32}
    plan = {"steps": 60, "warmup": 5, "sample_every": 0, "eval_every": 0, "checkpoint_every": 1, "threads": 1}
    return Recipe(data=text, tokenizer=tok, out=str(out), **sizes | plan | changes)


def go(recipe, terminal=None):
    """The exit code of a run in this process; how fast a machine is in matrix products is not measured."""
    with mock.patch.object(training, "peak_of", return_value=(1e9, "1 thread")):
        return run.run(recipe, terminal or io.StringIO())


def in_memory():
    """A temporary folder that waits for no disk, where there is one: for what makes thousands of files."""
    return tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None)


def forked(action, said=os.devnull):
    """The id of a child that does an action and ends with its code; its standard error goes to a file."""
    child = os.fork()
    if not child:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # a campaign started with nohup ignores it
        try:
            sys.stderr = open(said, "w", buffering=1)
            os._exit(action())
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    return child


def ended(child):
    """A child's exit code, or -n if signal n ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def same_run(out, whole, step):
    """Whether two runs had the same losses and norms in all steps, and have the same weights at one."""
    sums = [checked_record(path_of(o, step))["files"]["model.safetensors"] for o in (out, whole)]
    return losses(out) == losses(whole) and sums[0] == sums[1]


def losses(out):
    """step -> (loss, norm, lr) as the log has them; AssertionError if it has two that differ."""
    found = {}
    for line in (Path(out) / "metrics.jsonl").read_text().splitlines():
        numbers = json.loads(line)
        if "loss" in numbers:
            values = numbers["loss"], numbers["norm"], numbers["lr"]
            if found.setdefault(numbers["step"], values) != values:
                raise AssertionError(f"step {numbers['step']}: {found[numbers['step']]}, and then {values}")
    return found
