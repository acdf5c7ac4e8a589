"""The page: one HTML file that holds its style, its script and every number in it."""

import html
import json
import os
import re
from pathlib import Path

from minigpt.history.run import folder_of
from minigpt.reporting.curves import curves_of
from minigpt.reporting.facts import begun, figures, lead, machine
from minigpt.reporting.layers import layers_of
from minigpt.reporting.numbers import counted
from minigpt.reporting.samples import samples_of
from minigpt.reporting.settings import command, settings, steps_asked

FOLDER = Path(__file__).parent / "page"
MADE_BY = "minigpt report"
STYLES = ("base", "charts", "samples", "layers", "tables")
SCRIPTS = ("elements", "theme", "numbers", "scale", "marks", "chart", "curves", "small", "samples", "heat",
           "layers", "largest", "facts", "main")  # fmt: skip


def page_of(history):
    """(the page's bytes, what it holds in words, what was left out of it)."""
    folder = history.path if os.path.isdir(history.path) else folder_of(history.path)
    if os.path.isdir(folder):
        (samples, n_samples, torn), (layers, n_layers, cut) = samples_of(folder), layers_of(folder)
    else:
        (samples, n_samples, torn), (layers, n_layers, cut) = ([], 0, ""), (None, 0, "")
    run = {
        "name": history.name,
        "lead": lead(history),
        "figures": figures(history),
        "asked": steps_asked(history),
        "last": history.last_step,
        "curves": curves_of(history),
        "samples": {"shown": samples, "all": n_samples},
        "layers": layers and layers | {"all": n_layers},
        "settings": settings(history),
        "command": command(history),
        "machine": machine(history),
        "begun": begun(history),
        "clip": history.about.get("recipe", {}).get("clip"),
    }
    notes = counted(n_layers, "note of layers", "notes of layers")
    counts = f"{counted(history.last_step, 'step')}, {counted(n_samples, 'sample')}, {notes}"
    return filled(run).encode(errors="replace"), counts, [remark for remark in (torn, cut) if remark]


def filled(run):
    """page.html with everything in its place. "<" is written so that no text can end a script."""
    data = json.dumps(run, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    parts = {
        "title": html.escape(run["name"][:80]),
        "style": "\n".join(read(f"{name}.css") for name in STYLES),
        "script": "\n".join(read(f"{name}.js") for name in SCRIPTS),
        "run": data.replace("<", "\\u003c"),
        "made_by": MADE_BY,
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], read("page.html"))


def read(name):
    """A file of the page's own."""
    return (FOLDER / name).read_text(encoding="utf-8")
