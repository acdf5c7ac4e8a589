"""reference check, step by step."""

import dataclasses
import json
import math
import resource
import sys
import time

import numpy as np
from tqdm import tqdm

import minigpt
from minigpt.kernels.cpu.memory import keep_freed_memory
from minigpt.model import param_shapes
from reference.bad_input import BadInput
from reference.check import columns, condition, debug_state, published, report, subject
from reference.check.slopes import Slopes
from reference.memory import require
from reference.shapes import random_shape

JUDGES = ("complex-step", "torch", "debug-state")


def check(command):
    """Ask every judge, print what they say, and return the exit code."""
    start = time.perf_counter()
    say = (lambda line: print(line, file=sys.stderr, flush=True)) if command.json else print
    refuse_numbers_out_of_range(command)
    judges, state_path = judges_of(command.against)
    config, params = model_of(command)
    if command.golden and config != minigpt.PRESETS["gpt2"]:
        raise BadInput("--golden: what is published is of OpenAI's 124M; these weights have another shape")
    state = state_path and debug_state.read(state_path, config, param_shapes(config))
    tokens, targets, origin = batch_of(command, config, state)
    require(expected_memory(config, tokens.size), f"a check of {words(config)} on {tokens.size:,} tokens")
    say(f"{command.weights or 'a random model'}: {words(config)}; batch {tokens.shape}: {origin}")
    keep_freed_memory()  # the same large arrays come and go

    with np.errstate(all="ignore"):  # what is not finite shows in the table
        question = ask(config, params, tokens, targets, command.dtype, say)
        found = [ASK[judge](question, state, command, say) for judge in judges_for(config, judges, say)]
        verdicts = facts(command, question, say)
        norms = {name: float(np.linalg.norm(value)) for name, value in question.answer.items()}
    seconds, peak = time.perf_counter() - start, peak_memory()
    if command.json:
        about = {"command": dataclasses.asdict(command), "config": dataclasses.asdict(config)}
        print(json.dumps(report.as_json(question, found, verdicts, norms, seconds, peak, about), indent=1))
    else:
        lines = [*report.table(question, found, norms), *report.facts(verdicts)]
        print(*lines, report.summary(question, found, verdicts, seconds, peak), sep="\n")
    passed = not report.failures(question, found) and all(verdict.passed for verdict in verdicts)
    return 0 if passed else 1


def refuse_numbers_out_of_range(command):
    """Numbers that no model could make right."""
    if any(number is not None and number < 1 for number in (command.batch, command.time)):
        raise BadInput(f"--batch and --time must be 1 or more: found {command.batch} and {command.time}")
    if not 0 <= command.seed < 2**63:
        raise BadInput(f"--seed must be between 0 and {2**63 - 1}: found {command.seed}")


def judges_of(against):
    """The judges asked for, and the debug state's path: ("complex-step,debug-state", "x.bin")."""
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
        config, _ = random_shape(command.random)
        positions = (command.batch or subject.BATCH) * subject.time_of(config, command.time)
        require(expected_memory(config, positions), f"a check of {words(config)} on {positions:,} tokens")
        return config, subject.random_params(config, command.seed)
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


def ask(config, params, tokens, targets, dtype, say):
    """minigpt's answer, as a Question."""
    mine = params if dtype == "float64" else {name: param.astype(dtype) for name, param in params.items()}
    start = time.perf_counter()
    answer = condition.ask(config, mine, tokens, targets)
    took = report.duration(time.perf_counter() - start)
    say(f"forward and backward in {dtype}: {took}, loss {answer['loss']:.6f}; once more for the bounds")
    unit = condition.DOUBLE if dtype == "float64" else condition.SINGLE
    exact = answer if dtype == "float64" else condition.ask(config, params, tokens, targets)
    bounds = condition.bounds(config, params, tokens, targets, exact, unit)
    return columns.Question(config, params, tokens, targets, answer, unit, bounds)


def ask_complex_step(question, state, command, say):
    """Complex-step, after saying how long it will take."""
    grads = {name: question.answer[name] for name in question.params}
    tokens, targets, rows = question.tokens, question.targets, columns.sequences(question)
    if rows < len(tokens):
        row = int((targets >= 0).any(axis=1).argmax())  # the first that is scored at all
        tokens, targets = tokens[row : row + 1], targets[row : row + 1]
        mine = {name: param.astype(command.dtype) for name, param in question.params.items()}
        _, grads = minigpt.loss_and_grads(question.config, mine, tokens, targets)
    slopes = Slopes(question.config, question.params, tokens, targets)
    needs = expected_time(slopes, grads), expected_memory(question.config, question.tokens.size)
    say(
        f"complex-step: {len(grads)} tensors on {rows} of {len(question.tokens)} sequences, "
        f"about {report.duration(needs[0])} and {needs[1] / 1e9:.1f} GB"
    )
    watch = watcher("complex-step")
    return columns.complex_step(question, grads, slopes, command.seed, watch)


def expected_time(slopes, grads):
    """Seconds for all tensors, from those for two: the shortest way to the loss, and the longest."""
    ends = [end(grads, key=slopes.ahead) for end in (min, max)]
    start = time.perf_counter()
    for name in ends:
        slopes.error(name, grads[name], np.random.default_rng(0))
    taken = time.perf_counter() - start
    return taken * sum(map(slopes.ahead, grads)) / sum(map(slopes.ahead, ends))


def expected_memory(config, positions):
    """Bytes at the peak, roughly: parameters and gradients, torch's too; token table and logits, complex."""
    N = sum(math.prod(shape) for shape in param_shapes(config).values())
    table = 24 * config.n_vocab * config.n_embd
    logits = 8 * positions * config.n_vocab
    return 2e8 + max(16 * N + table + 5 * logits, (48 if columns.has_torch() else 16) * N + 4 * logits)


def ask_torch(question, state, command, say):
    """torch's autograd."""
    say("torch: autograd in float64")
    return columns.torch(question)


def ask_debug_state(question, state, command, say):
    """llm.c's file."""
    return columns.debug_state(question, state)


ASK = {"complex-step": ask_complex_step, "torch": ask_torch, "debug-state": ask_debug_state}


def facts(command, question, say):
    """The published facts, where the weights are OpenAI's 124M or are said to be."""
    batch = question.tokens, question.targets
    openais = published.are_openais(question.config, *batch, question.answer["loss"])
    if not (openais or command.golden):
        return []
    if not published.is_debug_batch(*batch):
        say("golden: the curves need llm.c's debug batch: give tinyshakespeare as --text, batch 4, time 64")
    params = {name: param.astype("float32") for name, param in question.params.items()}
    return published.verdicts(question.config, params, *batch, watcher("published facts"))


def watcher(what):
    """A progress bar around names, on a terminal."""
    return lambda names: tqdm(names, desc=what, disable=None)


def words(config):
    """The shape in a few words."""
    return (
        f"{config.n_layer} layers, {config.n_head} heads, {config.n_embd} channels, context {config.n_ctx}, "
        f"vocabulary {config.n_vocab}"
    )


def peak_memory():
    """The most bytes that this process has had."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most
