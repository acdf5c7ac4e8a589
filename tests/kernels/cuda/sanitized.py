"""The kernels' tests once more, built with the address and the undefined-behaviour sanitizer of g++.

    python -m tests.kernels.cuda.sanitized [--save] [pytest's arguments]

The emulation's own watch knows of blocks and barriers. This is a second opinion on addresses, by others, and
the only one on shifts, signed overflow and values that no bool has.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.record import save_record

HERE = Path(__file__).parent
RECORDS = HERE.parents[2] / "bench" / "records"
FOUND = 77  # an exit status that nobody else uses


def environment(reports):
    """For a Python that loads sanitized libraries: the sanitizer must be there before all else."""
    where = ["g++", "-print-file-name=libasan.so"]
    library = subprocess.run(where, capture_output=True, text=True, check=True)
    return os.environ | {
        "MINIGPT_EMULATION": "sanitized",
        "LD_PRELOAD": library.stdout.strip(),
        # Python leaks by their measure. A report ends the process, and with it what pytest has captured
        "ASAN_OPTIONS": f"detect_leaks=0:exitcode={FOUND}:log_path={reports}/address",
        "UBSAN_OPTIONS": f"exitcode={FOUND}:log_path={reports}/undefined",
    }


def run(arguments):
    """(exit status, output and reports) of tests under both sanitizers; FOUND where one ended the process."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    with tempfile.TemporaryDirectory() as reports:
        variables = environment(reports)
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
        said = [path.read_text() for path in sorted(Path(reports).iterdir())]
    return done.returncode, "\n".join([done.stdout, done.stderr, *said])


def kernel_tests():
    """Every test file that runs kernels, but for the whole step, which is the same kernels."""
    others = {f"test_{name}.py" for name in ("step", "gemm", "planted_faults", "registers", "sanitizers")}
    return [str(path) for path in sorted(HERE.glob("test_*.py")) if path.name not in others]


def main():
    given = [argument for argument in sys.argv[1:] if argument != "--save"]
    start = time.time()
    status, output = run(["-n", "2", *kernel_tests(), *given])
    print(output)
    if "--save" in sys.argv:
        passed = int(next(iter(re.findall(r"(\d+) passed", output)), 0))
        failed = int(next(iter(re.findall(r"(\d+) failed", output)), 0))
        results = {
            "passed": passed,
            "failed": failed,
            "exit_status": status,
            "seconds": round(time.time() - start),
        }
        print(save_record(RECORDS, "kernel-sanitizers", {"sanitizers": "address,undefined"}, results))
    return status


if __name__ == "__main__":
    sys.exit(main())
