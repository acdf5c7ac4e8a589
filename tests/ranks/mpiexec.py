"""Start real ranks."""

import json
import os
import subprocess
import sys
from pathlib import Path

MPIEXEC = Path(sys.executable).with_name("mpiexec")
ROOT = Path(__file__).parents[2]


def started(size, *arguments, **options):
    """mpiexec's process, its ranks running this Python with these arguments; command: another launcher."""
    command = [*options.pop("command", [MPIEXEC, "-n", str(size), sys.executable]), *arguments]
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


def processes_of(words):
    """The numbers of running processes whose command line holds these words."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if words in command and state != "Z":
                found.append(int(folder.name))
    return sorted(found)


def rank_of(process):
    """Which of MPICH's ranks a process is; None if it is none."""
    try:
        words = Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
    except OSError:
        return None
    return next((int(word[9:]) for word in words if word.startswith(b"PMI_RANK=")), None)
