"""Which rank a process is: asked of the environment that its launcher gave it."""

import os
from typing import NamedTuple

from minigpt.errors import CommError, ConfigError


class Place(NamedTuple):
    """A rank's number, and where it and the others are."""

    launcher: str
    rank: int
    size: int
    local_rank: int  # among the ranks of this machine
    local_size: int
    speaks_mpi: bool


class Launcher(NamedTuple):
    """The environment variables that hold rank, size, local rank and local size; whether it connects MPI."""

    names: tuple[str, str, str, str]
    speaks_mpi: bool


# In this order: a Slurm job may call mpiexec, srun torchrun. Slurm's own are those of a step: SLURM_PROCID
# and SLURM_NTASKS are set in a batch script too, which is no rank.
LAUNCHERS = {
    "mpiexec (MPICH)": Launcher(("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"), True),
    "mpiexec (Open MPI)": Launcher(
        (
            "OMPI_COMM_WORLD_RANK",
            "OMPI_COMM_WORLD_SIZE",
            "OMPI_COMM_WORLD_LOCAL_RANK",
            "OMPI_COMM_WORLD_LOCAL_SIZE",
        ),
        True,
    ),
    "torchrun": Launcher(("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"), False),
    "srun": Launcher(
        ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", "SLURM_STEP_TASKS_PER_NODE"), True
    ),
}


def place(environment=os.environ):
    """Where this process stands, or None if nobody launched it as a rank. Raises CommError on nonsense."""
    for launcher, (names, speaks_mpi) in LAUNCHERS.items():
        if all(name in environment for name in names[:2]):
            if "SLURM_STEP_NUM_TASKS" in environment and names[2] not in environment:
                names = *names[:2], *LAUNCHERS["srun"].names[2:]  # srun --mpi=pmi2 sets PMI_RANK itself
            rank, size, local_rank = (number(environment, name) for name in names[:3])
            local_size = tasks_here(environment.get(names[3], "1"))
            if not 0 <= rank < size or not 0 <= local_rank:
                raise CommError(f"{launcher}: {names[0]}={rank}, {names[1]}={size}: no rank of that many")
            return Place(launcher, rank, size, local_rank, max(local_size, local_rank + 1), speaks_mpi)
    return None


def refuse_windows():
    """A ConfigError on Windows: what ranks stand on (sessions, lines that are inherited) is not there."""
    if os.name == "nt":
        raise ConfigError("ranks: expected Linux or macOS, found Windows: train in one process, or under WSL")


def number(environment, name):
    """A variable's whole number; 0 if a launcher leaves it out."""
    value = environment.get(name, "0")
    if not value.isascii() or not value.isdigit() or len(value) > 9:
        raise CommError(f"{name} must be a whole number below 1e9: found {value[:40]!r}")
    return int(value)


def tasks_here(value):
    """How many ranks share a machine, at most: Slurm's "8(x2),4" says 8 on two machines and 4 on a third."""
    counts = [part.partition("(")[0] for part in value.split(",")]
    return max(
        (int(count) for count in counts if count.isascii() and count.isdigit() and len(count) < 10), default=1
    )
