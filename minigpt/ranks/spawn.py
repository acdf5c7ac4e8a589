"""`minigpt train --ranks N`: the same command again, N times, under mpiexec."""

import importlib.util
import os
import shutil
import sys
from pathlib import Path

from minigpt.errors import CommError, ConfigError
from minigpt.ranks.launchers import place


def launch(recipe, arguments):
    """Start the ranks and wait for them; their exit code, or None where this process is a rank itself.

    arguments: the command line, which each rank reads anew. Raises ConfigError, CommError without MPI.
    """
    here = place()
    if here is not None and here.size > 1:
        if recipe.ranks not in (None, here.size):
            found = f"{here.launcher} has started {here.size}"
            raise ConfigError(f"ranks is {recipe.ranks}, but {found}: leave it out")
        return None
    if recipe.ranks in (None, 1):
        return None
    command = [mpiexec(), "-n", str(recipe.ranks), sys.executable, "-m", "minigpt", *arguments]
    # signals reach the ranks through mpiexec, which this process becomes
    sys.stdout.flush()
    os.execv(command[0], command)


def mpiexec():
    """The mpiexec of this environment, or of the machine."""
    beside = Path(sys.executable).with_name("mpiexec")
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    if not found or importlib.util.find_spec("mpi4py") is None:
        raise CommError("ranks: expected mpi4py and mpiexec, found not both: pip install 'minigpt[mpi]'")
    return found
