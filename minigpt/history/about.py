"""What a run was: recipe, model, data, machine, versions, as starts.jsonl or a checkpoint tells it."""

import json

from minigpt.disk import read_json
from minigpt.errors import CheckpointError
from minigpt.history.lines import exists, records
from minigpt.shelf import checkpoints

STARTS = "starts.jsonl"
SHAPE = {name: name for name in ("n_layer", "n_head", "n_embd", "n_vocab")} | {"n_ctx": "context"}


def about_of(folder):
    """(starts, remark) of a run's folder; of an older run what its newest checkpoint knows, if it has one."""
    remark = ""
    if exists(folder / STARTS):
        starts, remark = records(folder / STARTS, of_start, "a JSON object with a step")
        if starts:
            return starts, remark
    for path in reversed(checkpoints(folder)):
        try:
            record = read_json(path / "state.json")
        except CheckpointError:
            continue
        if type(record.get("recipe")) is dict:
            return [of_record(record)], remark
    return [], remark


def of_start(line):
    """A line of starts.jsonl. Raises ValueError."""
    found = json.loads(line)
    if type(found) is not dict or type(found.get("step")) is not int:
        raise ValueError(line)
    for name in ("recipe", "model", "data", "machine", "versions", "ops"):
        if type(found.setdefault(name, {})) is not dict:
            raise ValueError(line)
    return found


def of_record(record):
    """The same from a checkpoint's state.json, which does not know the machine."""
    recipe, known = record["recipe"], {"step": 0, "data": {}, "machine": {}}
    model = {name: recipe[flag] for name, flag in SHAPE.items() if type(recipe.get(flag)) is int}
    parts = {name: record[name] if type(record.get(name)) is dict else {} for name in ("ops", "versions")}
    return known | {"recipe": recipe, "model": model} | parts
