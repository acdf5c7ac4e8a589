"""The two logs of numbers: metrics.jsonl, and main.log as llm.c writes it. A line is a step and some numbers.

    {"step": 3, "loss": 9.5, "norm": 5.2, ...}    s:3 trl:9.5000 lr:0.000075 norm:5.20     of a training step
    {"step": 3, "val_loss": 9.4, ...}             s:3 tel:9.4000                           of a validation
                                                  s:3 eval:0.2945                          of HellaSwag

llm.c counts steps from 0 and writes what was before the step; minigpt from 1, and what was after it. Both
tell a step's loss as it was before the update.
"""

import json
import math
import re

METRICS = 'a JSON object with a step, such as {"step": 1, "loss": 10.9}'
MAIN_LOG = "a line of llm.c's grammar, such as s:1 trl:10.9 lr:0.000001 norm:15.4"
NAMES = {"trl": "loss", "tel": "val_loss", "eval": "hellaswag", "lr": "lr", "norm": "norm"}  # llm.c's -> ours
FURTHEST = 2**53  # steps: a larger one is no step


def of_metrics(line):
    """A line of metrics.jsonl as {"step": step, name: number}. Raises ValueError."""
    found = json.loads(line)
    if type(found) is not dict:
        raise ValueError(line)
    return {"step": step_of(found.pop("step", None))} | {
        name: number_of(value) for name, value in found.items() if value is not None
    }


def of_main_log(line):
    """A line of main.log in the same form. Raises ValueError."""
    if not re.fullmatch(r"s:\d{1,16}( [a-z_]+:\S+)+\s*", line):
        raise ValueError(line)
    (_, step), *rest = (word.split(":") for word in line.split())
    return {"step": step_of(int(step))} | {NAMES.get(name, name): float(value) for name, value in rest}


def step_of(value):
    """A step's number. Raises ValueError."""
    if type(value) is not int or not 0 <= value < FURTHEST:
        raise ValueError(value)
    return value


def number_of(value):
    """A number; "nan" and "inf", for which JSON has no other way, stand in quotes. Raises ValueError."""
    if type(value) is str and math.isfinite(float(value)):
        raise ValueError(value)
    if type(value) not in (int, float, str):
        raise ValueError(value)
    return float(value)
