"""From a text to a page in a file."""

import math
from pathlib import Path

from minigpt.disk import replace_file
from minigpt.errors import DataError
from minigpt.ours import bears, refuse_others
from minigpt.token_checks import checked_text
from reference.bad_input import BadInput, counted
from reference.trace.model import model_of
from reference.trace.page import MADE_BY, page_of
from reference.trace.step import traced_step

MARK = f'content="{MADE_BY}"'.encode()  # stands in the head of every page: it may be replaced by a newer one
MOST = 48  # tokens: more are no longer legible side by side
LONGEST = 1000  # characters of a text, far more than a page holds


def write_trace(text, out, weights=None, tokenizer=None):
    """Write the page; a sentence that says what is in it. Raises BadInput."""
    out = Path(out)
    if out.is_dir():
        raise BadInput(f"--out: expected a file's name: found the folder {out}; take {out / 'trace.html'}")
    if not out.parent.is_dir():
        raise BadInput(f"--out: expected a folder that is there: found no {out.parent}; make it first")
    refuse_others(out, bears(MARK), BadInput, "--out: ")
    if not text.strip():
        raise BadInput(f"the text: expected some words: found {text!r}")
    if len(text) > LONGEST:
        raise BadInput(f"the text: expected at most {LONGEST:,} characters: found {len(text):,}; "
                       f"give a part of it, for a page holds {MOST} tokens")  # fmt: skip
    text = checked_text(text, "text")
    model = model_of(weights, tokenizer)
    ids = model.tokenizer.encode(text)
    most = min(MOST, model.config.n_ctx)
    if len(ids) < 2:
        raise BadInput(f"the text: expected two tokens or more, so that one can be foretold: found {text!r}, "
                       f"one token; give a longer text")  # fmt: skip
    if min(most, len(ids)) < 2:
        raise BadInput(f"{weights}: expected a model that reads two tokens or more: found n_ctx={most}")
    row = ids[:most]
    notes, report = traced_step(model.config, model.params, row)
    if not (math.isfinite(report.loss) and math.isfinite(report.norm)):
        raise BadInput(f"{weights}: expected weights whose loss and gradient are finite: "
                       f"found loss {report.loss}, norm {report.norm}")  # fmt: skip
    page = page_of(model, text, row, len(ids) - len(row), notes, report)
    try:
        replace_file(out, page)
    except DataError as error:
        raise BadInput(f"--out: {error}") from None
    cut = f" (the first of {len(ids)}: a page holds {most})" if len(row) < len(ids) else ""
    return f"{out}: {counted(len(row), 'token')}{cut}, loss {report.loss:.4f}, {len(page):,} bytes"
