"""python -m tests.campaigns: all campaigns, and PROOF.md with what each goal requires and last gave.

Exit code 1 if a goal is missed; it stands in the table as FAILED. --scale 0.1 does a tenth, --only NAME one
campaign; neither touches PROOF.md unless --out says where to.
"""

import argparse
import datetime
import importlib
import pkgutil
import platform
import sys
import time
import traceback
from pathlib import Path

from bench.record import git, processor
from minigpt.disk import replace_file
from tests import campaigns
from tests.campaigns import Row

PROOF = Path("PROOF.md")


def names():
    """The campaigns there are."""
    found = (module.name for module in pkgutil.iter_modules(campaigns.__path__))
    return [name for name in found if not name.startswith(("_", "test"))]


def rows_of(name, scale):
    """A campaign's rows; one that fails is a row too."""
    try:
        return importlib.import_module(f"tests.campaigns.{name}").campaign(scale)
    except Exception as error:
        traceback.print_exc()
        return [Row(name, "ends", f"{type(error).__name__}: {error}", False)]


def commit():
    """What is tested; with a + if a file differs."""
    return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")


def table(found, left, scale, tested):
    """PROOF.md: one line a goal; left: campaigns that have not been run."""
    lines = [
        "# What was proven, and when",
        "",
        f"Written by `make faults` on {datetime.date.today()}, commit {tested}, scale {scale:g}, on "
        f"{processor()}, Python {platform.python_version()}.",
        "",
        "| campaign | goal | required | last value | |",
        "|---|---|---|---|---|",
    ]
    for name, row in found:
        cells = [name, row.goal, row.required, row.value, verdict(row)]
        lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    lines += [f"| {name} | | | not run | FAILED |" for name in left]
    return "\n".join(lines) + "\n"


def verdict(row):
    """ok, FAILED, or that there was nothing to judge."""
    if row.passed and row.value.startswith("not "):
        return "not measured"
    return "ok" if row.passed else "FAILED"


def main(arguments=None):
    """Run campaigns; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the trials, 1 for all")
    parser.add_argument("--only", choices=names(), help="one campaign")
    parser.add_argument("--out", type=Path, help="where the table goes; PROOF.md if all of it is run")
    options = parser.parse_args(arguments)
    tested = commit()  # now: the table itself is a file that will differ
    found, left = [], [options.only] if options.only else names()
    out = options.out or (PROOF if options.scale == 1 and not options.only else None)
    while left:
        name = left.pop(0)
        start = time.perf_counter()
        for row in rows_of(name, options.scale):
            found.append((name, row))
            print(f"{verdict(row):6} {name}: {row.goal}: {row.value} (required: {row.required})", flush=True)
        print(f"       {name} took {time.perf_counter() - start:.0f} s", flush=True)
        if out:  # now, as the next ones may take long, or never end
            replace_file(out, table(found, left, options.scale, tested).encode())
    return int(not all(row.passed for _, row in found))


if __name__ == "__main__":
    sys.exit(main())
