"""python -m bench.gpu --budget 1500 --out DIR: what only a GPU can show, most valuable first.

Each stage is a process of its own with a deadline: an error of CUDA stays with the process that made it.
After each, DIR/results.json is replaced whole: the run may be stopped at any moment.
"""

import dataclasses
import json
import subprocess
import sys
import time
from pathlib import Path

import tyro

from bench.gpu.stages import STAGES
from bench.record import save_record
from minigpt.disk import replace_file

LEAST = 20  # seconds; a stage is not begun with less


@dataclasses.dataclass(frozen=True)
class Bench:
    """Measure on a GPU."""

    budget: int = 1500
    """Seconds for all stages together."""
    out: str = "runs/gpu"
    """The folder of results.json."""
    stages: str = ",".join(STAGES)
    """Which, in this order."""
    tiny: bool = False
    """Models so small that the stages can be tried on CuPy's stand-in."""
    save: bool = False
    """Keep the results in bench/records."""

    def run(self):
        """Run the stages that there is time for; the exit code: 1 if one of them failed."""
        out, results, end = Path(self.out), {}, time.monotonic() + self.budget
        out.mkdir(parents=True, exist_ok=True)
        for name in self.stages.split(","):
            left = end - time.monotonic()
            results[name] = stage(name, left, self.tiny) if left > LEAST else {"error": "no time was left"}
            replace_file(out / "results.json", json.dumps(results, indent=2).encode())
            print(name, json.dumps(results[name])[:2000], flush=True)
        if self.save:
            save_record(Path("bench/records"), "gpu", {"budget": self.budget, "tiny": self.tiny}, results)
        return int(any("error" in result for result in results.values()))


def stage(name, seconds, tiny):
    """What a stage found, or {"error": ...} with the end of what it said."""
    if name not in STAGES:
        return {"error": f"no such stage: expected some of {', '.join(STAGES)}"}
    command = [sys.executable, "-m", "bench.gpu.stages", name, *(["tiny"] if tiny else [])]
    began = time.monotonic()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return {"error": f"not done after {seconds:.0f} s"}
    found = {"seconds": round(time.monotonic() - began, 1)}
    try:
        if done.returncode == 0:
            return found | json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        pass
    return found | {"error": f"exit code {done.returncode}: {(done.stdout + done.stderr)[-3000:]}"}


if __name__ == "__main__":
    sys.exit(tyro.cli(Bench).run())
