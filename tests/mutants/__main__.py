"""python -m tests.mutants [FILE...]: break minigpt in every small way there is, and see who notices.

One line a file: how many mutants, how many of them a proof noticed, how many crashed, how many are known to
compute the same (equivalent.py). Survivors follow as differences. Exit code 1 if there are any, or if an
entry of equivalent.py is wrong.
"""

import difflib
import sys
import tempfile
import time

from tests.mutants.judge import FILES, trials
from tests.mutants.mutate import mutants


def main(subjects):
    """Judge all mutants of the files named, print the table, and return the exit code."""
    began, failures, total = time.perf_counter(), 0, 0
    print(row("file", "mutants", "noticed", "crashed", "the same", "survivors"))
    for subject in subjects or FILES:
        with tempfile.TemporaryDirectory() as folder:
            found = trials(subject, folder)
        counts = [len(names) for names in found[:4]]
        print(row(subject, sum(counts), *counts))
        for name in found.survivors:
            print(difference(subject, name))
        for name in found.wrongly_listed:
            print(f"equivalent.py lists {subject}, {name!r}: it is noticed, or does not exist")
        failures += len(found.survivors) + len(found.wrongly_listed)
        total += sum(counts)
    print(f"{total} mutants in {time.perf_counter() - began:.1f} s, {failures} failures")
    return 1 if failures else 0


def row(first, *others):
    """One line of the table."""
    return f"{first:14}" + "".join(f"{other:>10}" for other in others)


def difference(subject, name):
    """A mutant as a unified difference from the original."""
    source = FILES[subject].read_text()
    mutant = next(mutant for mutant in mutants(source) if mutant.name == name)
    lines = difflib.unified_diff(
        source.splitlines(), mutant.source.splitlines(), subject, name, "", "", 1, ""
    )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
