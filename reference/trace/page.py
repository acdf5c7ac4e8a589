"""The page: one HTML file that holds its style, its script, the trace and every number in it."""

import base64
import html
import json
import re
from pathlib import Path

from minigpt import bpe
from minigpt.choice import Choice
from minigpt.pieces import cut
from reference.trace import guesses, tokens
from reference.trace.describe import events_of, tensors_of
from reference.trace.listing import listed
from reference.trace.source import lines_of
from reference.trace.values import packed

FOLDER = Path(__file__).parent / "page"
MADE_BY = "python -m reference trace"
STYLES = ("base", "cards", "parts", "widths")
SCRIPTS = ("data", "elements", "theme", "heat", "panels", "thumbnail", "tensor", "figures", "paint",
           "inspector", "source", "cards", "map", "tokens", "expected", "next", "main")  # fmt: skip
BESIDE = {"cut": cut, "steps": bpe.steps, "draw": Choice.draw, "probs": Choice.probs}  # what sections show


def page_of(model, text, ids, left_out, notes, report):
    """The page's bytes. left_out: how many ids at the end of the text are not traced."""
    logits = logits_of(notes)
    kept = guesses.worth_showing(logits, ids)
    described, numbers = packed(notes.tensors, kept, model.config.n_vocab)
    events = events_of(notes)
    expected, following = guesses.expected(logits, ids), guesses.next_token(logits[-1])
    beside = {name: dict(zip(("file", "first", "last"), lines_of(function), strict=True))
              for name, function in BESIDE.items()}  # fmt: skip
    trace = {
        "text": model.tokenizer.decode(ids), "left_out": left_out, "ids": ids, "model": facts(model, report),
        "words": [tokens.word(token) for token in model.tokenizer.tokens],
        "pieces": tokens.pieces_of(model.tokenizer, text, len(ids)),
        "tensors": tensors_of(notes, described), "events": events,
        "expected": expected, "next": following, "beside": beside, "files": files_in(events, beside),
    }  # fmt: skip
    return filled(trace, numbers).encode()


def logits_of(notes):
    """The logits (T, V) of the row that was traced: what the loss was made of."""
    (loss,) = [event for event in notes.events if event.name == "cross_entropy_forward"]
    return notes.tensors[loss.inputs[0].tensor].array[0]


def facts(model, report):
    """What is said of the model in the page's head."""
    config = model.config
    sizes = {"L": config.n_layer, "H": config.n_head, "C": config.n_embd, "N": config.n_ctx,
             "V": config.n_vocab}  # fmt: skip
    return {"name": model.name, "sizes": sizes, "parameters": model.params.buffer.size,
            "loss": float(report.loss), "norm": float(report.norm)}  # fmt: skip


def files_in(events, beside):
    """Every source file that the page refers to, in the order of the step."""
    places = [place for event in events for place in (event["site"], event["source"]) if place]
    names = dict.fromkeys(place["file"] for place in [*places, *beside.values()])
    return {name: listed(name) for name in names}


def filled(trace, numbers):
    """page.html with everything in its place. "<" is written so that no text can end a script."""
    data = json.dumps(trace, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    style = "\n".join(read(f"{name}.css") for name in STYLES)
    script = "\n".join(read(f"{name}.js") for name in SCRIPTS)
    parts = {"made_by": MADE_BY, "title": html.escape(trace["text"][:60]), "style": style, "script": script,
             "trace": data.replace("<", "\\u003c"), "values": base64.b64encode(numbers).decode()}  # fmt: skip
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], read("page.html"))


def read(name):
    """A file of the page's own."""
    return (FOLDER / name).read_text(encoding="utf-8")
