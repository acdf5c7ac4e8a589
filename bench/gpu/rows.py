"""DIR/rows.jsonl: what was found, one JSON object a line, on the disk as soon as it is known.

Several processes may write at once, and any of them may be killed: a row is one write at the file's end, and
begins on a line of its own, so that half a row spoils no other.
"""

import json
import os

NAME = "rows.jsonl"


def append(out, row):
    """Put one row behind the others."""
    descriptor = os.open(out / NAME, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(descriptor, f"\n{json.dumps(row, default=str)}\n".encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(out):
    """The rows of the newest run, from its "begin" on; of a row only half of which was written, nothing."""
    rows = []
    for line in (out / NAME).read_text(errors="replace").splitlines() if (out / NAME).exists() else []:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        rows = [row] if row.get("stage") == "begin" else [*rows, row]
    return rows
