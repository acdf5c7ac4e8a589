"""python -m bench.check: reference check of a random model with the shape of 124M, in its own process.

Prints each judge's worst tensor, time, peak memory and every error; --save keeps a record. Some minutes
on two cores, 6 GB.
"""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import tyro

from bench.record import save_record


@dataclasses.dataclass(frozen=True)
class Options:
    """Check every gradient of a large model."""

    random: str = "gpt2"
    """The shape, as reference check has it."""
    dtype: str = "float64"
    """Of minigpt's gradients: float64 or float32."""
    save: bool = False
    """Keep the result in bench/records."""


def main():
    options = tyro.cli(Options, description=__doc__)
    command = ["check", "--random", options.random, "--dtype", options.dtype, "--json"]
    run = subprocess.run([sys.executable, "-m", "reference", *command], stdout=subprocess.PIPE, check=False)
    if run.returncode not in (0, 1):
        return run.returncode
    found = json.loads(run.stdout)
    results = {
        "passed": found["passed"],
        "failed": found["failed"],
        "seconds": found["seconds"],
        "peak_gb": found["peak_bytes"] / 1e9,
        "worst": {judge: worst(found["tensors"], judge) for judge in ("complex-step", "torch")},
        "tensors": {tensor["name"]: tensor["errors"] for tensor in found["tensors"]},
    }
    print(json.dumps(results, indent=2))
    if options.save:
        print(save_record(Path(__file__).parent / "records", "check", dataclasses.asdict(options), results))
    return run.returncode


def worst(tensors, judge):
    """The tensor that takes the largest share of its bound, which is finite in what passed."""
    judged = [tensor for tensor in tensors if judge in tensor["errors"]]
    if not judged:
        return None
    most = max(judged, key=lambda tensor: float(tensor["errors"][judge]) / float(tensor["bounds"][judge]))
    return {"name": most["name"], "error": most["errors"][judge], "bound": most["bounds"][judge]}


if __name__ == "__main__":
    sys.exit(main())
