"""Every gradient of GPT-2 124M against float64, by NumPy and by torch, within error budgets."""

import numpy as np

import minigpt
from bench.gpu import question
from bench.gpu.tables import LIBRARIES, USUAL, trainer_of
from minigpt.errors import ConfigError

RUNS = [("bf16", USUAL), ("fp32", USUAL), ("bf16", LIBRARIES)]  # what may fail comes last
AGREE = 1e-11  # TRUST: gradients against torch in float64, norm-wise


def run(setting, part, put):
    asked = question.question(setting.question)
    budgets = question.budgets_of(setting.question)
    found = {}
    for mode, table in RUNS:  # the GPU first
        try:
            found[mode, table] = ours(asked, question.MODES[mode], table)
        except Exception as reason:
            missing = isinstance(reason, ConfigError)  # a library that is not here is no finding
            row = {"name": f"{mode} {table}", "error": f"{type(reason).__name__}: {reason}"}
            put(row | ({} if missing else {"ok": False}))
    params = {name: value.astype(np.float64) for name, value in asked.params.items()}
    loss, exact = minigpt.loss_and_grads(asked.config, params, asked.tokens, asked.targets)
    put(same_question(budgets, loss, exact))
    for (mode, table), tensors in found.items():
        name = mode if table == USUAL else f"{mode} {table}"
        put(judged(name, tensors, exact | {"loss": np.float64(loss)}, budgets[mode]))
    put(torch_says(asked, params, loss, exact))


def ours(asked, dtype, table):
    """name -> gradient, and the loss, from a training step on the GPU."""
    one = trainer_of(table, asked.config, asked.params, dtype=dtype)
    loss = one.step(asked.tokens, asked.targets)
    return {name: grad.get() for name, grad in one.state.grads.items()} | {"loss": np.float64(loss)}


def same_question(budgets, loss, exact):
    """Whether the budgets are about this model and this batch."""
    norms = {name: float(np.linalg.norm(grad)) for name, grad in exact.items()}
    apart = max(abs(norms[name] / budgets["norms"][name] - 1) for name in norms)
    apart = max(apart, abs(loss / budgets["loss"] - 1))
    return {"name": "float64 is what budgets are of", "ok": apart < 1e-9, "apart": apart}


def judged(mode, tensors, exact, budgets):
    """Each tensor's error and its share of what honest rounding may cost."""
    errors = {}
    for name, truth in exact.items():
        error = tensors[name].astype(np.float64) - truth
        expected, norm, largest = budgets[name]
        shares = np.linalg.norm(error) / norm, np.abs(error).max() / largest
        errors[name] = {
            "error": float(np.linalg.norm(error)), "expected": expected, "of the bound": float(max(shares)),
        }  # fmt: skip
    over = [name for name, found in errors.items() if not found["of the bound"] <= 1]
    worst = max(errors, key=lambda name: errors[name]["of the bound"])
    return {
        "name": f"{mode}: {len(errors)} tensors", "ok": not over, "worst": worst,
        "of its bound": errors[worst]["of the bound"], "over": over, "tensors": errors,
    }  # fmt: skip


def torch_says(asked, params, loss, exact):
    """How far torch's autograd in float64 is from NumPy's gradients."""
    try:
        from reference import torch_twin
    except ImportError as reason:
        return {"name": "torch in float64", "error": f"not installed: {reason}"}
    theirs, grads = torch_twin.loss_and_grads(asked.config, params, asked.tokens, asked.targets)
    apart = {name: np.linalg.norm(grads[name] - grad) / np.linalg.norm(grad) for name, grad in exact.items()}
    worst = max(apart, key=apart.get)
    ok = bool(apart[worst] <= AGREE and abs(theirs / loss - 1) <= AGREE)
    return {"name": "torch in float64", "ok": ok, "worst": worst, "apart": float(apart[worst])}
