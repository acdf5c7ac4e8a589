"""The model, batch and error budgets by which gradients at GPT-2's size are judged: budgets-124M.json.

    make gpu-budgets      about twenty minutes on two cores, 5 GB; no GPU

reference/budgets.py would take longer than a GPU is at hand, so they are worked out beforehand, for one model
and one batch, which the file names by what float64 makes of them.
"""

import dataclasses
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tyro

from minigpt.arrays import Flat
from minigpt.config import GPTConfig
from minigpt.disk import replace_file
from reference.budgets import budgets
from reference.llmc import PARAMETERS, Inputs, Sizes, run
from reference.llmc.names import keys
from reference.llmc.parameters import random_parameters, to_hub

FILE = Path(__file__).parent / "budgets-124M.json"
MODES = {"bf16": "bfloat16", "fp32": "float32"}
GPT2 = Sizes(L=12, H=12, D=64, V=50257, N=1024, B=1, T=64)
SMALL = Sizes(L=1, H=1, D=64, V=67, N=18, B=1, T=17)


class Question(NamedTuple):
    """A model far from its initialisation, and a batch."""

    config: GPTConfig
    params: Flat  # float32, and exact in it
    tokens: np.ndarray
    targets: np.ndarray


def inputs_of(sizes):
    """The same for reference/llmc."""
    tokens, targets = np.random.default_rng(0).integers(0, sizes.V, (2, sizes.B, sizes.T))
    return Inputs(sizes, random_parameters(sizes, 0), tokens, targets)


def question(sizes):
    """The same for minigpt."""
    given = inputs_of(sizes)
    config = GPTConfig(sizes.L, sizes.H, sizes.H * sizes.D, sizes.N, sizes.V)
    return Question(config, Flat.pack(to_hub(given.params), "float32"), given.tokens, given.targets)


def worked_out(sizes, runs):
    """{"loss": in float64, "runs", "sizes", "norms": name -> norm of the gradient, and for each mode
    name -> [expected error, bound of its norm, bound of its largest entry]}
    """
    given = inputs_of(sizes)
    exact = run(given)
    names = gradient_names(sizes)
    found = {"sizes": dataclasses.asdict(sizes), "runs": runs, "loss": float(exact["loss", None])}
    found["norms"] = {names[key]: float(np.linalg.norm(exact[key])) for key in names}
    for mode in MODES:
        allowed = budgets(given, mode, exact, runs=runs, only=[*names, ("loss", None)])
        named = names | {("loss", None): "loss"}
        found[mode] = {named[key]: [float(f"{x:.4g}") for x in budget] for key, budget in allowed.items()}
    return found


def budgets_of(sizes):
    """What was worked out beforehand, or for a miniature now."""
    return json.loads(FILE.read_text()) if sizes == GPT2 else worked_out(sizes, 2)


def gradient_names(sizes):
    """The key of each gradient in reference/llmc -> the parameter's name in minigpt."""
    every = [key for name in PARAMETERS for key in keys(name, sizes)]
    return {(f"d{name}", layer): hub for (name, layer), hub in zip(every, hub_names(every), strict=True)}


def hub_names(every):
    """The hub's name of each parameter."""
    return [next(iter(to_hub({key: np.empty((0, 0))}))) for key in every]


def main(runs: int = 8):
    """Make budgets-124M.json anew. runs: of emulated passes for each precision."""
    replace_file(FILE, (json.dumps(worked_out(GPT2, runs), indent=1) + "\n").encode())


if __name__ == "__main__":
    tyro.cli(main)
