"""From a command line to what is checked, by whom, and on how much memory."""

import math
from typing import NamedTuple

import numpy as np

from minigpt import PRESETS
from minigpt.model import param_shapes
from reference.bad_input import BadInput, counted
from reference.check import columns, debug_state, subject
from reference.memory import require
from reference.shapes import random_shape

JUDGES = ("complex-step", "torch", "debug-state")


class Asked(NamedTuple):
    """Who judges what, on which batch."""

    judges: list
    config: object
    params: dict  # float64
    state: object  # a DebugState, or None
    tokens: np.ndarray
    targets: np.ndarray
    origin: str


def asked_by(command, say):
    """What a command asks for. Raises BadInput, and what minigpt says of its files."""
    refuse_numbers_out_of_range(command)
    judges, state_path = judges_of(command.against)
    config, params = model_of(command)
    if command.golden and config != PRESETS["gpt2"]:
        raise BadInput("--golden: what is published is of OpenAI's 124M; these weights have another shape")
    state = state_path and debug_state.read(state_path, config, param_shapes(config))
    tokens, targets, origin = batch_of(command, config, state)
    require(expected_memory(config, tokens.size), f"a check of {words(config)} on {tokens.size:,} tokens")
    return Asked(judges_for(config, judges, say), config, params, state, tokens, targets, origin)


def refuse_numbers_out_of_range(command):
    """Numbers that no model could make right."""
    if any(number is not None and number < 1 for number in (command.batch, command.time)):
        raise BadInput(f"--batch and --time must be 1 or more: found {command.batch} and {command.time}")
    if not 0 <= command.seed < 2**63:
        raise BadInput(f"--seed must be between 0 and {2**63 - 1}: found {command.seed}")


def judges_of(against):
    """The judges asked for, and the debug state's path: ("complex-step,debug-state", "x.bin")."""
    if "" in against:
        raise BadInput("--against: expected a judge or a path: found an empty one")
    given = [word for part in against for word in part.split(",") if word]
    judges = list(dict.fromkeys(word for word in given if word in JUDGES))
    paths = [word for word in given if word not in JUDGES]
    if len(paths) != ("debug-state" in judges):
        expected = "one FILE for debug-state" if "debug-state" in judges else f"names of {', '.join(JUDGES)}"
        raise BadInput(f"--against: expected {expected}: found {', '.join(paths) or 'none'}")
    if "torch" in judges and not columns.has_torch():
        raise BadInput("--against: torch is not installed; install minigpt[oracle], or leave torch out")
    if not judges:
        judges = ["complex-step", *(["torch"] if columns.has_torch() else [])]
    return judges, paths[0] if paths else None


def judges_for(config, judges, say):
    """The judges without torch for a single channel."""
    if config.n_embd == 1 and "torch" in judges:
        say("torch: not asked; layernorm erases a single channel, of which torch leaves its roundings")
        return [judge for judge in judges if judge != "torch"]
    return judges


def model_of(command):
    """config and float64 parameters."""
    if (command.weights is None) == (command.random is None):
        raise BadInput("give one of --weights PATH and --random SHAPE, such as --random gpt2")
    if command.random is not None:
        if command.n_head is not None:
            raise BadInput("--n-head is for weights files: say --random n_head=...")
        config, more = random_shape(command.random, seed=command.seed)
        positions = (command.batch or subject.BATCH) * subject.time_of(config, command.time)
        require(expected_memory(config, positions), f"a check of {words(config)} on {positions:,} tokens")
        return config, subject.random_params(config, more["seed"])
    config, params = subject.load(command.weights, command.n_head)
    if command.dtype == "float32":
        params = {name: param.astype("float32").astype("float64") for name, param in params.items()}
    return config, params


def batch_of(command, config, state):
    """tokens, targets and where they are from; a debug state brings its own."""
    if not state:
        B = command.batch or subject.BATCH
        return subject.batch_of(config, command.text, command.weights, B, command.time, command.seed)
    for flag in ("text", "batch", "time"):
        if getattr(command, flag) is not None:
            raise BadInput(f"--{flag}: a debug state brings its own batch: leave out --{flag}")
    return state.tokens, state.targets, "the debug state's"


def expected_memory(config, positions):
    """Bytes at the peak, roughly: parameters and gradients, torch's too; token table and logits, complex."""
    N = sum(math.prod(shape) for shape in param_shapes(config).values())
    table = 24 * config.n_vocab * config.n_embd
    logits = 8 * positions * config.n_vocab
    return 2e8 + max(16 * N + table + 5 * logits, (48 if columns.has_torch() else 16) * N + 4 * logits)


def words(config):
    """The shape in a few words."""
    return (
        f"{counted(config.n_layer, 'layer')}, {counted(config.n_head, 'head')}, "
        f"{counted(config.n_embd, 'channel')}, context {config.n_ctx}, vocabulary {config.n_vocab}"
    )
