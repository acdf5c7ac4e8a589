"""Faults planted in copies of the kernels and of what speaks to libraries, one at a time; tests must notice.

python -m tests.kernels.cuda.faults [--save] [WORD ...]     all, or those whose file or text holds a WORD
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.record import save_record
from tests.kernels.cuda.fault_list import FAULTS as OF_KERNELS
from tests.kernels.cuda.library_faults import LIBRARY_FAULTS

FAULTS = OF_KERNELS + LIBRARY_FAULTS
ROOT = Path(__file__).parents[3]
KERNELS = ROOT / "minigpt" / "kernels" / "cuda"
RECORDS = ROOT / "bench" / "records"


def try_one(fault):
    """(whether the tests fail, the first line that says why)."""
    with tempfile.TemporaryDirectory() as folder:
        if fault.file.endswith(".py"):  # imported, not compiled: from a copy of all that imports it
            root = Path(folder)
            for part in ("minigpt", "reference", "bench", "tests"):
                shutil.copytree(ROOT / part, root / part, ignore=shutil.ignore_patterns("__pycache__"))
            shutil.copy(ROOT / "pyproject.toml", root)
            sources = root / KERNELS.relative_to(ROOT)
        else:
            root, sources = ROOT, Path(folder) / "cuda"
            shutil.copytree(KERNELS, sources, ignore=shutil.ignore_patterns("__pycache__"))
        text = (sources / fault.file).read_text()
        if text.count(fault.old) != 1:
            return False, f"{fault.old!r} stands {text.count(fault.old)} times in {fault.file}"
        (sources / fault.file).write_text(text.replace(fault.old, fault.new))
        test = (root / Path(__file__).relative_to(ROOT)).with_name(f"test_{fault.noticed_by}.py")
        quietly = "-m pytest -x -q -p no:cacheprovider -p no:xdist".split()
        command = [sys.executable, *quietly, str(test)]
        environment = os.environ | {"MINIGPT_KERNEL_SOURCES": str(sources), "PYTHONPATH": str(root)}
        done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    if "CalledProcessError" in done.stdout:
        return False, "it does not compile: " + (done.stderr + done.stdout)[-1500:]
    reasons = re.findall(r"^E\s+(?:\S*Error: )?(\S.*)$", done.stdout, re.MULTILINE)
    return done.returncode != 0, reasons[0][:200] if reasons else f"exit status {done.returncode}"


def main():
    words = [word for word in sys.argv[1:] if word != "--save"]
    chosen = [
        fault
        for fault in FAULTS
        if not words or any(word in fault.file + fault.old + fault.new for word in words)
    ]
    missed, table = 0, []
    with ThreadPoolExecutor(2) as pool:
        for fault, (noticed, reason) in zip(chosen, pool.map(try_one, chosen), strict=True):
            missed += not noticed
            table.append({**fault._asdict(), "noticed": noticed, "by": reason})
            what = f"{' '.join(fault.old.split())[:60]!r} -> {' '.join(fault.new.split())[:50]!r}"
            print(f"{'noticed' if noticed else 'MISSED '} {fault.file}: {what}: {reason}", flush=True)
    print(f"{len(chosen) - missed} of {len(chosen)} faults noticed")
    if "--save" in sys.argv:
        print(
            save_record(
                RECORDS,
                "kernel-faults",
                {},
                {"noticed": len(chosen) - missed, "planted": len(chosen), "faults": table},
            )
        )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
