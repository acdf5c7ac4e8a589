"""`minigpt train --ranks N`: the same command again, N times, under mpiexec."""

import dataclasses
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

from minigpt.errors import ConfigError
from minigpt.ranks.launchers import place, refuse_windows
from minigpt.ranks.seen import STARTER
from minigpt.recipe import dealt
from minigpt.stop import NUMBERS


def launch(recipe):
    """Start recipe.ranks ranks, wait, leave with their exit code; return if this process is one, or alone.

    Raises ConfigError, also without MPI.
    """
    here = place()
    if recipe.ranks in (None, 1) or (here and here.size > 1):
        return
    refuse_windows()
    check_ranks(recipe, recipe.ranks)
    command = [mpiexec(), "-n", str(recipe.ranks), sys.executable, "-m", "minigpt", "train", *flags(recipe)]
    sys.stdout.flush()
    raise SystemExit(carried(command))


def carried(command):
    """The exit code of a command to which every signal to this process goes as a SIGTERM.

    mpiexec has a session of its own: it would die of a SIGHUP, and hear of a terminal's Ctrl-C twice.
    """
    process, waiting = None, []

    def forward(number, _):
        waiting.append(number)
        if process:
            process.terminate()

    for number in NUMBERS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, forward)
    # whose end the ranks notice, even kill -9
    environment = {**os.environ, STARTER: f"{socket.gethostname()} {os.getpid()}"}
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, env=environment)
    if waiting:
        process.terminate()
    code = process.wait()
    return code if code >= 0 else 128 - code


def flags(recipe):
    """The command line that means a recipe."""
    words = []
    for field in dataclasses.fields(recipe):
        value, flag = getattr(recipe, field.name), "--" + field.name.replace("_", "-")
        if value is True:
            words.append(flag)
        elif value is not False and value != field.default:
            words.append(f"{flag}={value}")  # in one word: a value may begin with a hyphen
    return words


def check_ranks(recipe, size):
    """Raise ConfigError unless a step's windows can be dealt to so many ranks."""
    if recipe.ranks not in (None, size):
        raise ConfigError(f"ranks is {recipe.ranks}, but {size} have been started: leave it out")
    dealt(recipe, size)


def mpiexec():
    """The mpiexec of this environment, or of the machine."""
    beside = Path(sys.executable).with_name("mpiexec")
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    if not found or importlib.util.find_spec("mpi4py") is None:
        raise ConfigError("ranks: expected mpi4py and mpiexec, found not both: pip install 'minigpt[mpi]'")
    return found
