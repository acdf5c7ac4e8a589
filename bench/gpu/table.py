"""python -m bench.gpu.table DIR [--save]: what a run has found so far, as text; --save keeps a record."""

import sys
from pathlib import Path

from bench.gpu import rows
from bench.record import keep

SKIPPED_KEYS = ("stage", "part", "name", "ok", "losses", "tensors", "message")
LONGEST = 100  # characters of a value


def failures(found):
    """The rows that say of themselves that something is wrong, was left out or did not end well."""
    return [row for row in found if row.get("ok") is False or row.get("end", "done") != "done"]


def show(out):
    """Print the table and put it into DIR/table.txt."""
    text = "\n".join(lines(rows.read(out))) + "\n"
    print(text, end="", flush=True)
    (out / "table.txt").write_text(text)


def lines(found):
    """A line for each finding: of tests those that failed, of single turns those whose part did not end."""
    done = {(row["stage"], row["part"]) for row in found if row.get("end") == "done"}
    for row in found:
        if row["stage"] == "begin":
            yield f"begun {row['date']} at commit {row['commit']}, {row['processor']}, {row['options']}"
        elif "end" in row:
            if row["end"] != "done":
                yield f"{row['stage']:10s} {row['part']}: {row['end']}"
        elif not (row.get("test") and row["ok"]) and not (
            "turn" in row and (row["stage"], row["part"]) in done
        ):
            mark = {True: "ok", False: "BAD", None: ""}[row.get("ok")]
            values = [f"{key} {short(value)}" for key, value in row.items() if key not in SKIPPED_KEYS]
            message = row.get("message", "")
            yield f"{row['stage']:10s} {row['name']:34s} {mark:4s}{', '.join(values)}{message}"
    passed = sum(bool(row.get("test") and row["ok"]) for row in found)
    bad, skipped = failures(found), [r for r in found if r.get("end", "").startswith("skipped")]
    yield f"{passed} tests passed; {len(bad) - len(skipped)} findings are bad; {len(skipped)} parts skipped"


def short(value):
    """For people: four digits are enough."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)[:LONGEST]


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    show(folder)
    if "--save" in sys.argv:
        first, *rest = rows.read(folder)
        print(keep(Path("bench/records"), {"bench": "gpu"} | first, rest))
