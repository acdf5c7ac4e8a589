"""Measured steps of whole runs: one a machine gives the share of its peak that products reach, others check.

A share is all that is taken from a figure; every other number is in gpus.py, compute.py or exchange.py, with
its source.
"""

import dataclasses
import functools

from minigpt.config import PRESETS
from minigpt.flops import llmc_flops_per_token
from minigpt.gpus import MACHINES
from minigpt.planning.step import Plan, step


@dataclasses.dataclass(frozen=True)
class Figure:
    """A step that someone measured: windows in a micro-batch and in the step, seconds, source."""

    machine: str
    model: str
    ranks: int
    batch: int
    rows: int
    seconds: float
    source: str
    zero: int = 1  # llm.c's scripts have -z 1
    gradients: str = "bfloat16"  # llm.c exchanges them as it stores them
    context: int = 1024


LLMC = "karpathy/llm.c, scripts/"
FIGURES = (
    Figure("a100", "gpt2", 8, 64, 512, 0.300, LLMC + "run_gpt2_124M.sh"),
    Figure("a100", "gpt2-medium", 8, 64, 512, 0.820, LLMC + "run_gpt2_350M.sh"),
    Figure("a100", "gpt2-large", 8, 32, 512, 1.7, LLMC + "run_gpt2_774M.sh"),
    Figure("h100", "gpt2", 8, 64, 512, 0.140, "KellerJordan/modded-nanogpt, record 1"),
    Figure("h100", "gpt2-xl", 8, 16, 1024, 2.75, LLMC + "run_gpt2_1558M.sh: 2.7 to 2.8 s"),
)
RECORD = "bench/records/step-2026-11-24-471a023.json"
OURS = (
    Figure("cpu", "gpt2", 1, 4, 4, 4.308, RECORD, zero=0, gradients="float32", context=256),
    Figure("cpu", "gpt2", 1, 4, 4, 1.332, RECORD, zero=0, gradients="float32", context=64),
    Figure("cpu", "gpt2", 1, 1, 1, 4.825, RECORD, zero=0, gradients="float32"),
)

# what each machine's share is taken from; nothing is measured on the last two, so the H100's is assumed
CALIBRATION = {"a100": FIGURES[0], "h100": FIGURES[3], "cpu": OURS[0], "h200": FIGURES[3], "4090": FIGURES[3]}


def predicted(figure, share):
    """Seconds of the figure's step at this share."""
    plan = Plan(figure.batch, figure.zero, figure.gradients, context=figure.context)
    config, machine = PRESETS[figure.model], MACHINES[figure.machine]
    return step(config, machine, share, figure.ranks, figure.rows, plan).seconds


@functools.cache
def share_of(figure):
    """The share of the peak at which the prediction is what was measured: halved down, it falls in it."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if predicted(figure, middle) > figure.seconds else (low, middle)
    return high


def mfu(figure):
    """The whole step's share of the peak, by llm.c's count."""
    tokens = figure.rows * figure.context
    work = tokens * llmc_flops_per_token(PRESETS[figure.model], figure.context)
    return work / (figure.ranks * MACHINES[figure.machine].peak * figure.seconds)


def check():
    """(figure, predicted seconds, seconds by its machine's MFU alone) for all that no share is taken from."""
    used = CALIBRATION.values()
    return [
        (figure, predicted(figure, share_of(by)), figure.seconds * mfu(figure) / mfu(by))
        for figure in (*FIGURES, *OURS)
        if figure not in used and (by := CALIBRATION[figure.machine])
    ]
