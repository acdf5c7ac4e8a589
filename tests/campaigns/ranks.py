"""One rank of several killed, frozen, asked to stop or computing nonsense, at random moments of real runs."""

import json
import random
import signal
import tempfile
from pathlib import Path

from minigpt.shelf import checkpoints
from tests.campaigns import tally
from tests.ranks.mpiexec import processes_of, started
from tests.ranks.runs import signalled

TRIALS = 100
IN_TIME = 30  # seconds
SIZE = 3


def campaign(scale=1.0):
    """The rows of ranks' faults."""
    n = max(1, round(TRIALS * scale))
    return [
        gone("one of 3 ranks killed: the others end in 30 s and name it", n, signal.SIGKILL, 4),
        gone("one of 3 ranks frozen for 4 s: the others end in 30 s and name it", n, signal.SIGSTOP, 4),
        gone("the same with the usual 12 s", -(-n // 20), signal.SIGSTOP, 12),
        asked_to_stop("SIGTERM or SIGINT to one of 3 ranks: all save the same step and exit 75", n),
        nonsense("NaN on one of 3 ranks: the step is rejected on all", n),
    ]


def gone(goal, trials, number, patience):
    """Trials of a rank that is no more."""
    late = unnamed = orphans = 0
    rng = random.Random(number)
    for _ in range(trials):
        with tempfile.TemporaryDirectory() as folder:
            rank = rng.randrange(SIZE)
            found = signalled(Path(folder), SIZE, number, rank, rng.uniform(0, 1), patience)
            orphans += bool(processes_of(folder))
            late += found.code == 0 or found.seconds > IN_TIME
            said = found.err.partition("; every rank ends")[0].splitlines()[-1] if found.err else ""
            alone = " or " not in said.replace("killed or has crashed", "")
            unnamed += not (f"rank {rank} (process {found.process}" in said and " step " in said and alone)
    return tally(goal, trials, late=late, unnamed=unnamed, orphans=orphans)


def asked_to_stop(goal, trials):
    """Trials of a scheduler's, or a person's, wish to stop."""
    otherwise = unsaved = 0
    rng = random.Random(75)
    for _ in range(trials):
        with tempfile.TemporaryDirectory() as folder:
            number = rng.choice([signal.SIGTERM, signal.SIGINT])
            found = signalled(Path(folder), SIZE, number, rng.randrange(SIZE), rng.uniform(0, 1))
            otherwise += found.code != 75 or bool(found.err)
            steps = [line.split("/")[0].split()[1] for line in found.out.splitlines() if "| loss" in line]
            saved = [path.name for path in checkpoints(Path(folder) / "run")]
            unsaved += bool(steps) and saved[-1:] != [f"step_{int(steps[-1]):08d}"]
    return tally(goal, trials, **{"other exit codes": otherwise, "unsaved": unsaved})


def nonsense(goal, trials):
    """Trials of a gradient that is no number on one rank."""
    applied = 0
    rng = random.Random(0)
    for _ in range(trials):
        rank, step = rng.randrange(SIZE), rng.randrange(3)
        process = started(SIZE, "-m", "tests.ranks.troubles", "nan", str(rank), str(step))
        out, _ = process.communicate(timeout=90)
        expected = [[now != step, now == step] for now in range(3)]
        ranks = json.loads(out) if process.returncode == 0 else []
        applied += len(ranks) != SIZE or any(one != [expected, 2] for one in ranks)
    return tally(goal, trials, applied=applied)
