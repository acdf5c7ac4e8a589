"""What the campaigns last gave: rows kept in bench/records/proof.json, shown to people as PROOF.md."""

import datetime
import fcntl
import json
import os
import platform
from pathlib import Path

from bench.record import git, processor
from minigpt.disk import replace_file

RECORD, TABLE = Path("bench/records/proof.json"), Path("PROOF.md")
HEAD = """# What was proven, and when

Made by `make faults`; one campaign anew: `make faults ARGS="--only NAME"`. A goal that was missed, or a
campaign that has not been run in full, says FAILED.

| campaign | goal | required | last value | | date, commit |
|---|---|---|---|---|---|
"""


def conditions():
    """What a campaign's rows were gained on. Asked for before it begins: the record itself is a file."""
    differs = git("status", "--porcelain", "-uno", "--", ".", f":!{RECORD}", f":!{TABLE}")
    return {
        "commit": git("rev-parse", "--short", "HEAD") + ("+" if differs else ""),
        "hardware": f"{processor()}, Python {platform.python_version()}",
    }


def verdict(row):
    """ok, FAILED, or that there was nothing to judge."""
    if row.passed and row.value.startswith("not "):
        return "not measured"
    return "ok" if row.passed else "FAILED"


def keep(folder, name, rows, names, found_on):
    """Put a campaign's rows in place of those it had, and write the table anew.

    names: the campaigns there are. Another one may end at the same moment.
    """
    (folder / RECORD).parent.mkdir(parents=True, exist_ok=True)
    lock = os.open((folder / RECORD).parent, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        record = json.loads((folder / RECORD).read_text()) if (folder / RECORD).exists() else {}
        date = {"date": datetime.date.today().isoformat()}
        record[name] = [row._asdict() | {"verdict": verdict(row)} | date | found_on for row in rows]
        replace_file(folder / RECORD, (json.dumps(record, indent=2) + "\n").encode())
        replace_file(folder / TABLE, table(record, names).encode())
    finally:
        os.close(lock)


def table(record, names):
    """PROOF.md: one line a goal, and one for each campaign that has not been run."""
    lines = [line(name, row) for name in names for row in record.get(name, [])]
    lines += [f"| {name} | | | not run | FAILED | |" for name in names if name not in record]
    hardware = sorted({row["hardware"] for name in names for row in record.get(name, [])})
    return HEAD + "\n".join(lines) + f"\n\nOn {'; '.join(hardware) or 'nothing yet'}.\n"


def line(name, row):
    """A goal as a line of the table."""
    cells = [name, *(row[key] for key in ("goal", "required", "value", "verdict"))]
    cells.append(f"{row['date']}, {row['commit']}")
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
