"""What was noted of each layer: the lines of layers.jsonl, as matrices of parts by steps."""

import json

import numpy as np

from minigpt.history.grammar import number_of, step_of
from minigpt.history.lines import exists, records
from minigpt.history.timeline import Timeline
from minigpt.reporting.numbers import short, spread

MOST = 160  # steps on a page


def layers_of(folder):
    """(layers, how many steps were noted, remark); layers are None if nothing was.

    {"steps", "parts", "gradient", "weights", "update"}: of the last three, a row of numbers a part.
    """
    if not exists(folder / "layers.jsonl"):
        return None, 0, ""
    lines, remark = records(folder / "layers.jsonl", of_line, "a JSON object with a step and layers")
    timeline = Timeline()
    for step, layers in lines:
        timeline.put("layers", step, layers)
    found = sorted(timeline.kinds.get("layers", {}).items())
    if not found:
        return None, 0, remark
    chosen = [found[i] for i in spread(len(found), MOST)]
    parts = list(chosen[-1][1])
    missing = [np.nan] * 3
    table = np.array(
        [[layers.get(part, missing) for part in parts] for _, layers in chosen]
    )  # (steps, parts, 3)
    rows = {name: [short(row, 4) for row in table[:, :, i].T]
            for i, name in enumerate(("gradient", "weights", "update"))}  # fmt: skip
    return {"steps": [step for step, _ in chosen], "parts": parts} | rows, len(found), remark


def of_line(line):
    """(step, part -> [gradient, weights, update]) of a line. Raises ValueError."""
    found = json.loads(line)
    if type(found) is not dict or type(found.get("layers")) is not dict or not found["layers"]:
        raise ValueError(line)
    layers = {}
    for part, three in found["layers"].items():
        if type(three) is not list or len(three) != 3:
            raise ValueError(line)
        layers[part] = [number_of(n) for n in three]
    return step_of(found.get("step")), layers
