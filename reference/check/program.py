"""reference check, step by step."""

import dataclasses
import json
import resource
import sys
import time

import numpy as np
from tqdm import tqdm

import minigpt
from minigpt.kernels.cpu.memory import keep_freed_memory
from minigpt.screen import tell
from reference.check import columns, condition, published, report
from reference.check.asked import asked_by, expected_memory, words
from reference.check.slopes import Slopes


def check(command):
    """Ask every judge, print what they say, and return the exit code."""
    start = time.perf_counter()
    say = tell if command.json else print
    asked = asked_by(command, say)
    what = f"{command.weights or 'a random model'}: {words(asked.config)}"
    say(f"{what}; batch {asked.tokens.shape}: {asked.origin}")
    if bad := [name for name, param in asked.params.items() if not np.isfinite(param).all()]:
        more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
        say(f"weights: not finite in {bad[0]}{more}: what fails below fails for that")
    keep_freed_memory()  # the same large arrays come and go

    with np.errstate(all="ignore"):  # what is not finite shows in the table
        question = ask(asked, command.dtype, say)
        found = [ASK[judge](question, asked.state, command, say) for judge in asked.judges]
        verdicts = facts(command, question, say)
        norms = {name: float(np.linalg.norm(value)) for name, value in question.answer.items()}
    cost = time.perf_counter() - start, peak_memory()
    if command.json:
        about = {"command": dataclasses.asdict(command), "config": dataclasses.asdict(asked.config)}
        print(json.dumps(report.as_json(question, found, verdicts, norms, *cost, about), indent=1))
    else:
        lines = [*report.table(question, found, norms), *report.facts(verdicts)]
        print(*lines, report.summary(question, found, verdicts, *cost), sep="\n")
    passed = not report.failures(question, found) and all(verdict.passed for verdict in verdicts)
    return 0 if passed else 1


def ask(asked, dtype, say):
    """minigpt's answer, as a Question."""
    config, params, tokens, targets = asked.config, asked.params, asked.tokens, asked.targets
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


def peak_memory():
    """The most bytes that this process has had."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most
