"""python -m tests.fault_table: every fault of the catalogue, in every precision: seen, and named?

Each fault is planted in a copy of the model that computes in few bits, and reference diff is asked what is
wrong. In every precision each must be seen, beyond its budget or by its pattern (reference/diff/probes.py),
and named, and a program without faults must not be accused. Exit code 1 where that is not so. Writes a record
to bench/records.
"""

import sys
from pathlib import Path

from tqdm import tqdm

from bench.record import save_record
from reference.diff.causes import first_failing
from reference.diff.compare import examine
from reference.diff.faults import catalogue, table_of
from reference.diff.report import finite
from reference.llmc import Sizes
from reference.llmc.names import label
from tests.support.questions import inputs, program

SIZES = Sizes(L=2, H=2, D=4, V=50, N=16, B=4, T=8)
MODES = ("fp32", "tf32", "fp16", "bf16")
RUNS = 16


def result_of(question, planted, mode):
    """Where a fault is first seen, at how many times the budget, and what it is called."""
    arrays = program(question, mode, table=table_of(planted))
    rows, _, verdict = examine(question, arrays, mode, RUNS)
    failing = first_failing(rows)
    share = max(row.share for row in rows) if failing is None else failing.share
    seen = failing and label(failing.key)
    result = {"seen": seen, "times": finite(share), "by_pattern": None, "named": None}
    if verdict is not None and verdict.planted:
        whole = len(verdict.planted) == 1 and verdict.planted[0][1] is None and verdict.unexplained is None
        result |= {"named": verdict.planted[0][0].name if whole else None, "by_pattern": verdict.projection}
    return result


def is_right(name, mode, result):
    """Whether it was named; its sibling, which goes backward otherwise, will do where bits are few."""
    if mode == "fp32":
        return result["named"] == name
    return result["named"] is not None and stem(result["named"]) == stem(name)


def stem(name):
    return name.removesuffix("-forward")


def cell(result):
    """Times the budget; or, in brackets, what the projection had to exceed."""
    if result["seen"] is not None:
        return f"{float(result['times']):.3g}"
    return f"({result['by_pattern'][1]:.2g})" if result["by_pattern"] else "-"


def main():
    """Print the table, write the record."""
    question = inputs(SIZES, seed=3, ignored=True)
    faults = catalogue(SIZES, question.targets)
    honest = {mode: result_of(question, [], mode) for mode in MODES}
    wrong = [
        f"an honest program in {mode}" for mode, result in honest.items() if result["seen"] or result["named"]
    ]
    table = {}
    for fault in tqdm(faults, unit="fault"):
        row = table[fault.name] = {mode: result_of(question, [(fault, None)], mode) for mode in MODES}
        wrong += [f"{fault.name} in {mode}" for mode in MODES if not is_right(fault.name, mode, row[mode])]
    print(f"{'fault':<26} {'first seen':<14}" + "".join(f" {mode:>9}" for mode in MODES))
    for name, row in table.items():
        cells = "".join(f" {cell(row[mode]):>9}" for mode in MODES)
        print(f"{name:<26} {row['fp32']['seen'] or '-':<14}{cells}")
    print("times the budget; in brackets: within it, seen by pattern, x = 1 where so much would do")
    for mode in MODES:
        beyond = sum(row[mode]["seen"] is not None for row in table.values())
        pattern = sum(row[mode]["by_pattern"] is not None for row in table.values())
        print(
            f"{mode}: of {len(table)} faults {beyond} beyond their budgets, {pattern} more by their pattern"
        )
    for line in wrong:
        print(f"NOT AS EXPECTED: {line}")
    options = {"sizes": str(SIZES), "runs": RUNS, "modes": MODES}
    print(save_record(Path("bench/records"), "faults", options, {"honest": honest, "faults": table}))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
