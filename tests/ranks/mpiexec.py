"""Start real ranks."""

import json
import os
import subprocess
import sys
from pathlib import Path

MPIEXEC = Path(sys.executable).with_name("mpiexec")
ROOT = Path(__file__).parents[2]


def started(size, *arguments, **options):
    """mpiexec's process, its ranks running this Python with these arguments."""
    command = [MPIEXEC, "-n", str(size), sys.executable, *arguments]
    environment = {"PYTHONPATH": str(ROOT), **os.environ, **options.pop("env", {})}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=environment, cwd=ROOT, **pipes | options)


def answers(size, asks):
    """What tests.ranks.steps printed: a list of all ranks' answers for each ask."""
    process = started(size, "-m", "tests.ranks.steps", json.dumps(asks))
    out, err = process.communicate(timeout=300)
    if process.returncode:
        raise RuntimeError(f"{size} ranks: exit code {process.returncode}\n{err}")
    return json.loads(out)
