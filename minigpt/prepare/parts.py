"""Which share of the files is this machine's: contiguous, so that the parts joined have the files' order."""

import os
import re

from minigpt.errors import ConfigError

# (rank from 0, how many), the innermost launcher first: what it starts knows best
LAUNCHERS = (
    ("RANK", "WORLD_SIZE"),  # torchrun
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),  # Open MPI
    ("PMI_RANK", "PMI_SIZE"),  # MPICH, Intel MPI
    ("SLURM_PROCID", "SLURM_NTASKS"),  # srun
)


def parse_part(part, environment=os.environ):
    """(I, N) of "I/N" or "auto", I from 1. ConfigError if it is none, or no launcher says it."""
    if part == "auto":
        return part_of_launcher(environment)
    match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", part)
    i, n = map(int, match.groups()) if match else (0, 0)
    if not 1 <= i <= n:
        raise ConfigError(f"part must be I/N with I from 1 to N, or auto: found {part!r}")
    return i, n


def part_of_launcher(environment):
    """(I, N) from the variables that launchers set. Tasks of a Slurm array are counted through."""
    array, launched = slurm_array(environment), rank_and_size(environment)
    if not array and not launched:
        known = ", ".join([*(name for name, _ in LAUNCHERS), "SLURM_ARRAY_TASK_ID"])
        raise ConfigError(f"part: auto needs a launcher that sets one of {known}: found none; say --part I/N")
    (task, tasks), (rank, size) = array or (0, 1), launched or (0, 1)
    return task * size + rank + 1, tasks * size


def rank_and_size(environment):
    """(rank, size) as the first launcher says that sets both, or None."""
    for names in LAUNCHERS:
        if all(name in environment for name in names):
            rank, size = (number(environment, name) for name in names)
            if not rank < size:
                raise ConfigError(f"{names[0]} must be below {names[1]}: found {rank} and {size}")
            return rank, size
    return None


def slurm_array(environment):
    """(place of this task, tasks) in a Slurm array, or None outside of one."""
    if "SLURM_ARRAY_TASK_ID" not in environment:
        return None
    task, first, last, count = (
        number(environment, f"SLURM_ARRAY_TASK_{name}") for name in ("ID", "MIN", "MAX", "COUNT")
    )
    stride = (last - first) // (count - 1) if count > 1 else 1
    place, beside = divmod(task - first, stride) if stride else (0, 1)
    if beside or not 0 <= place < count or first + stride * (count - 1) != last:
        raise ConfigError(f"part: the Slurm array has gaps, task {task} has no place in it; say --part I/N")
    return place, count


def number(environment, name):
    """A variable's value as a whole number from 0."""
    value = environment.get(name, "")
    if not re.fullmatch("[0-9]{1,9}", value):
        raise ConfigError(f"{name} must be a whole number: found {value!r}; say --part I/N")
    return int(value)


def share(sizes, i, n):
    """The (first, end) of part i of n, such that all have about the same bytes.

    A file goes to the part in whose stretch of the bytes its middle lies.
    [3, 1, 2, 2], 1 of 2 -> (0, 2), 2 of 2 -> (2, 4)
    """
    total, before, parts = sum(sizes), 0, []
    for size in sizes:
        parts.append((2 * before + size) * n // (2 * total))
        before += size
    return sum(part < i - 1 for part in parts), sum(part < i for part in parts)
