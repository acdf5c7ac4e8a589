"""python -m tests.campaigns: all campaigns, and PROOF.md with what each goal requires and last gave.

Exit code 1 if a goal is missed; it stands in the table as FAILED. --only NAME runs one campaign and keeps the
rows of the others; with --scale 0.1, a tenth of the trials, nothing is kept unless --out says where.
"""

import argparse
import importlib
import pkgutil
import sys
import time
import traceback
from pathlib import Path

from tests import campaigns
from tests.campaigns import Row, _proof


def names():
    """The campaigns there are."""
    found = (module.name for module in pkgutil.iter_modules(campaigns.__path__))
    return [name for name in found if not name.startswith(("_", "test"))]


def rows_of(name, scale):
    """A campaign's rows; one that fails is a row too."""
    try:
        return list(importlib.import_module(f"tests.campaigns.{name}").campaign(scale))
    except Exception as error:
        traceback.print_exc()
        return [Row(name, "ends", f"{type(error).__name__}: {error}", False)]


def main(arguments=None):
    """Run campaigns; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the trials, 1 for all")
    parser.add_argument("--only", choices=names(), help="one campaign")
    parser.add_argument("--out", type=Path, help="a folder for record and table; here if all trials are made")
    options = parser.parse_args(arguments)
    out = options.out or (Path() if options.scale == 1 else None)
    passed, found_on = True, _proof.conditions()
    for name in [options.only] if options.only else names():
        start, rows = time.perf_counter(), rows_of(name, options.scale)
        for row in rows:
            print(f"{_proof.verdict(row):6} {name}: {row.goal}: {row.value} (required: {row.required})")
        print(f"       {name} took {time.perf_counter() - start:.0f} s", flush=True)
        passed = passed and all(row.passed for row in rows)
        if out:  # now, as the next ones may take long, or never end
            _proof.keep(out, name, rows, names(), found_on)
    return int(not passed)


if __name__ == "__main__":
    sys.exit(main())
