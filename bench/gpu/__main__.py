"""python -m bench.gpu --budget 480 --out DIR: what only a GPU can show, most valuable first.

Each part of a stage is a process of its own with a deadline; every finding is a line of DIR/rows.jsonl at
once. The run may be stopped at any moment. SIGTERM and Ctrl-C still show the table; after anything worse
`python -m bench.gpu.table DIR` does.
"""

import argparse
import signal
import sys
import time
from pathlib import Path

from bench.gpu import rows
from bench.gpu.begin import begin
from bench.gpu.plan import STAGES
from bench.gpu.runner import Runner
from bench.gpu.setting import GPU, MINIATURE
from bench.gpu.table import failures, show

STOPPED = 75  # as minigpt train leaves when it was stopped by a signal


class Stopped(BaseException):
    """A signal has come."""


def parsed(arguments):
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description="Measure on a GPU.")
    parser.add_argument("--budget", type=float, default=480, help="seconds for all stages (default: 480)")
    parser.add_argument("--out", type=Path, default=Path("runs/gpu"), help="the folder (default: runs/gpu)")
    parser.add_argument("--stages", default=",".join(STAGES), help="which, in this order (default: all)")
    parser.add_argument("--stand-in", action="store_true", help="in miniature, on the stand-in for CuPy")
    options = parser.parse_args(arguments)
    options.stages = options.stages.split(",")
    if unknown := set(options.stages) - set(STAGES):
        parser.error(f"--stages: expected some of {','.join(STAGES)}: found {', '.join(sorted(unknown))}")
    if not options.budget > 0:
        parser.error(f"--budget: expected seconds above 0: found {options.budget:g}")
    return options


def main(arguments=None):
    """0: all was done and well; 1: something failed or was left out; 75: stopped by a signal."""
    options = parsed(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stopped)
    runner = Runner(options.out, MINIATURE if options.stand_in else GPU, time.monotonic() + options.budget)
    rows.append(options.out, begin(options))
    code = None
    try:
        for name in options.stages:
            runner.stage(name)
            if name == "smoke" and not any(row.get("name") == "gpu" for row in rows.read(options.out)):
                print("no GPU can be used, so nothing more is tried; --stand-in needs none", file=sys.stderr)
                break
    except Stopped:
        code = STOPPED
    show(options.out)
    return code or int(bool(failures(rows.read(options.out))))


def stopped(number, frame):
    """The first signal ends the run in order, the next one at once."""
    signal.signal(number, signal.SIG_DFL)
    raise Stopped


if __name__ == "__main__":
    sys.exit(main())
