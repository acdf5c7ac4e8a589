"""A run, or somebody's log of one, as columns of numbers."""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minigpt.errors import DataError
from minigpt.history import grammar
from minigpt.history.about import about_of
from minigpt.history.lines import exists, records
from minigpt.history.timeline import Timeline

METRICS, MAIN_LOG = "metrics.jsonl", "main.log"
KINDS = {"loss": "train", "val_loss": "validation", "hellaswag": "hellaswag"}  # by the name that a line has
COLUMNS = {
    "train": ("loss", "norm", "lr", "ms", "tokens_per_second", "mfu"),
    "validation": ("val_loss", "val_bits_per_byte"),
    "hellaswag": ("hellaswag",),
}


class History(NamedTuple):
    """A run's past. Columns have NaN where a line says nothing, and are of length 0 where no line does."""

    name: str
    path: Path
    train: dict  # "step" and COLUMNS -> array
    validation: dict
    hellaswag: dict
    starts: list  # what was begun on what, each time; the oldest runs have none
    remarks: list  # what was left out

    @property
    def about(self):
        """The last start, {} if nothing is known."""
        return self.starts[-1] if self.starts else {}

    @property
    def last_step(self):
        """The newest step that a line speaks of."""
        return int(max(part["step"][-1] for part in (self.train, self.validation, self.hellaswag)
                       if len(part["step"])))  # fmt: skip


def read_run(path):
    """The History in a run's folder, or in a metrics.jsonl or main.log. Raises DataError."""
    path = Path(path)
    folder = path if os.path.isdir(path) else path.parent
    found, remarks = {}, []
    for file in logs_of(path):
        kinds, remark = kinds_of(file)
        found, remarks = kinds | found, [*remarks, remark]  # the first file comes first
    if not found:
        raise DataError(f"{path}: expected steps, found none; the first line is there after the first step")
    starts, remark = about_of(folder) if folder_of(path) == folder.absolute() else ([], "")
    parts = [columns(found.get(kind, {}), COLUMNS[kind]) for kind in COLUMNS]
    return History(name_of(path), path, *parts, starts, [said for said in (*remarks, remark) if said])


def logs_of(path):
    """The files to read: of a run's folder metrics.jsonl, and main.log for what is there alone."""
    if not os.path.isdir(path):
        if not exists(path):
            raise DataError(f"{path}: no such run: expected a run's folder, a main.log or a metrics.jsonl")
        return [path]
    found = [path / name for name in (METRICS, MAIN_LOG) if exists(path / name)]
    if not found:
        beside = f"; its run is {path.parent}" if exists(path / "state.json") else ""
        raise DataError(f"{path}: is no run: expected {METRICS} or {MAIN_LOG} in it, found neither{beside}")
    return found


def kinds_of(file):
    """(kind -> step -> line, remark) of a log; which of the two grammars it has, its name says."""
    if file.suffix == ".jsonl":
        lines, remark = records(file, grammar.of_metrics, grammar.METRICS)
    else:
        lines, remark = records(file, grammar.of_main_log, grammar.MAIN_LOG)
    timeline = Timeline()
    for line in lines:
        for name, kind in KINDS.items():
            if name in line:
                timeline.put(kind, line["step"], line)
    return timeline.kinds, remark


def columns(lines, names):
    """step -> line as {"step": array, name: array}, in the order of the steps."""
    steps = sorted(lines)
    found = {name: np.array([lines[step].get(name, np.nan) for step in steps]) for name in names}
    return {"step": np.array(steps, np.int64)} | found


def name_of(path):
    """What to call a run: its folder's name, or that of a log which has one of its own."""
    path = path.absolute()
    if path.name in (METRICS, MAIN_LOG):
        return path.parent.name
    return path.name if os.path.isdir(path) else path.stem


def names_of(histories):
    """A name for each, with the folder above where two would be the same, and a number where that is too."""
    names = [history.name for history in histories]
    if len(set(names)) < len(names):
        names = [f"{folder_of(one.path).parent.name}/{one.name}" for one in histories]
    return [name if names.count(name) == 1 else f"{name} ({i})" for i, name in enumerate(names, start=1)]


def folder_of(path):
    """The folder that a run's name is that of; of a log with a name of its own, the log."""
    path = path.absolute()
    return path.parent if path.name in (METRICS, MAIN_LOG) else path
