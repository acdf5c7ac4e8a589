"""python -m tests.fault_table: every fault of the catalogue, in every precision: seen, and named?

Each fault is planted in a copy of the model that computes in few bits, and reference diff is asked what is
wrong. A fault that is seen must be named; in fp32 each must be seen. What is smaller than the format rounds is
not seen, and the table says so. Exit code 1 where that is not so. Writes a record to bench/records.
"""

import sys
from pathlib import Path

from tqdm import tqdm

from bench.record import save_record
from reference.diff.causes import first_failing
from reference.diff.compare import examine
from reference.diff.faults import catalogue, table_of
from reference.llmc import Sizes
from reference.llmc.names import label
from tests.support.questions import inputs, program

SIZES = Sizes(L=2, H=2, D=4, V=50, N=16, B=4, T=8)
MODES = ("fp32", "tf32", "fp16", "bf16")
RUNS = 16


def result_of(question, fault, mode):
    """Where a fault is first seen, at how many times the budget, and what it is called."""
    arrays = program(question, mode, table=table_of([(fault, None)]))
    rows, _, verdict = examine(question, arrays, mode, RUNS)
    failing = first_failing(rows)
    if failing is None:
        return {"seen": None, "times": max(row.share for row in rows), "named": None}
    causes = [cause.name for cause, layers in verdict.planted if layers is None]
    named = len(causes) == len(verdict.planted) == 1 and verdict.unexplained is None
    return {"seen": label(failing.key), "times": failing.share, "named": causes[0] if named else None}


def is_right(name, mode, result):
    """Whether it was named; its sibling, which goes backward otherwise, will do where bits are few."""
    if result["seen"] is None:
        return mode != "fp32"
    if mode == "fp32":
        return result["named"] == name
    return result["named"] is not None and stem(result["named"]) == stem(name)


def stem(name):
    return name.removesuffix("-forward")


def main():
    """Print the table, write the record."""
    question = inputs(SIZES, seed=3, ignored=True)
    faults = catalogue(SIZES, question.targets)
    table, wrong = {}, []
    for fault in tqdm(faults, unit="fault"):
        table[fault.name] = {mode: result_of(question, fault, mode) for mode in MODES}
        wrong += [
            f"{fault.name} in {mode}"
            for mode in MODES
            if not is_right(fault.name, mode, table[fault.name][mode])
        ]
    print(
        f"{'fault':<26} {'first seen':<14}"
        + "".join(f" {mode:>9}" for mode in MODES)
        + "   (times the budget)"
    )
    for name, row in table.items():
        cells = [f"{row[mode]['times']:.3g}" if row[mode]["seen"] else "-" for mode in MODES]
        print(f"{name:<26} {row['fp32']['seen'] or '-':<14}" + "".join(f" {cell:>9}" for cell in cells))
    for mode in MODES:
        seen = sum(row[mode]["seen"] is not None for row in table.values())
        print(
            f"{mode}: {seen} of {len(table)} seen, all of these named"
            if not wrong
            else f"{mode}: {seen} seen"
        )
    print(*(f"NOT AS EXPECTED: {line}" for line in wrong), sep="\n")
    options = {"sizes": str(SIZES), "runs": RUNS, "modes": MODES}
    print(save_record(Path("bench/records"), "faults", options, table))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
