"""python -m bench.startup: how long a command takes before it works: --help and import, beside Python alone.

Processes are started in turn, so that a busy machine is as busy for each. Bytecode is there, files are in the
system's cache. --save keeps a record.
"""

import dataclasses
import statistics
import subprocess
import sys
import time
from pathlib import Path

import tyro

from bench.record import save_record

# name -> the words for Python
STARTS = {
    "python": ["-c", "pass"],
    "import minigpt": ["-c", "import minigpt"],
    "minigpt --help": ["-m", "minigpt", "--help"],
    "minigpt train --help": ["-m", "minigpt", "train", "--help"],
    "import numpy": ["-c", "import numpy"],
    "import minigpt.run": ["-c", "import minigpt.run"],  # all that training loads
}


@dataclasses.dataclass(frozen=True)
class Options:
    """Measure starts."""

    runs: int = 10
    """Of each, in turn, after one that is not counted."""
    save: bool = False
    """Keep the result in bench/records."""


def seconds(words):
    """From the start of a process to its end."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *words], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def main(options):
    """Measure, print, keep."""
    times = {name: [] for name in STARTS}
    for run in range(options.runs + 1):
        for name, words in STARTS.items():
            took = seconds(words)
            if run:
                times[name].append(took)
    results = {}
    for name, all_of_it in times.items():
        least, median = min(all_of_it), statistics.median(all_of_it)
        results[name] = {"min_s": round(least, 4), "median_s": round(median, 4)}
        print(f"{name:22} {1000 * least:5.0f} ms at least, {1000 * median:5.0f} ms in the median")
    if options.save:
        print(save_record(Path(__file__).parent / "records", "startup", vars(options), results))


if __name__ == "__main__":
    main(tyro.cli(Options))
