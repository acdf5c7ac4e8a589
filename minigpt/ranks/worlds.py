"""The world that a run lives in: alone, or one of the ranks that a launcher has started."""

import contextlib
import importlib
import importlib.util
import secrets
import socket
import sys

from minigpt import errors
from minigpt.comm import Alone
from minigpt.ranks import launchers
from minigpt.ranks.equal import agreed, check_settings
from minigpt.ranks.line import Line, start_witness
from minigpt.ranks.meeting import meeting_point, run_id
from minigpt.ranks.seen import GATHERING
from minigpt.ranks.starting import ended_after

WORLDS = {"numpy": ("minigpt.ranks.mpi", "MPIWorld"), "cupy": ("minigpt.ranks.nccl", "NCCLWorld")}


class Agreed(SystemExit):
    """Every rank ends for the same reason, of which rank 0 tells."""


@contextlib.contextmanager
def joined(device, sharded=False, asked=None):
    """with joined("numpy") as world: what the ranks do together, to its end or to the first error on any.

    asked: name -> value, of what all ranks must have been asked for. Raises ConfigError where it differs, or
    where MPI is missing, CommError when ranks cannot meet.
    """
    place = launchers.place()
    if place is None or place.size == 1:
        world = Alone()
        world.sharded = sharded
        yield world
        return
    launchers.refuse_windows()
    with met(place, device, sharded, asked or {}) as world:
        yield world


@contextlib.contextmanager
def met_alone(device, sharded=False):
    """joined, for a rank that is the only one and exchanges all the same: to try NCCL on the first GPU."""
    with met(launchers.Place("this program", 0, 1, 0, 1, True), device, sharded, {}) as world:
        yield world


@contextlib.contextmanager
def met(place, device, sharded, asked):
    """The world of the ranks of which place is one."""
    if device == "numpy" and not place.speaks_mpi:
        raise errors.ConfigError(
            f"{place.launcher} starts ranks for GPUs: expected --device cupy; on cores use "
            f"minigpt train --ranks {place.size}, or mpiexec -n {place.size} minigpt train"
        )
    line = Line(*address(place, device))
    module, name = WORLDS[device]
    try:
        check_settings(line, asked)  # before any exchange, which could wait for ever where they differ
        world = getattr(importlib.import_module(module), name)(place, line, sharded)
        yield world
    except BaseException as error:
        if not getattr(error, "agreed", False):
            line.fail(f"{type(error).__name__}: {error}")
            end_of_mpi("abandon")
            raise
        line.close()
        end_of_mpi("leave")
        if place.rank:
            raise Agreed(error.exit_code) from None
        raise
    world.close()
    end_of_mpi("leave")


def end_of_mpi(way):
    """leave or abandon MPI, if it is in use."""
    if mpi := sys.modules.get("minigpt.ranks.mpi"):
        getattr(mpi, way)()


def address(place, device):
    """What Line is made of: where the witness listens, and what shows that a rank belongs to this run.

    Rank 0 starts the witness. The others are told by MPI, or work it out from the launcher's environment.
    """
    if place.speaks_mpi and (device == "numpy" or needs_mpi(place)) and place.size > 1:
        with ended_after(GATHERING, place.rank, place.size):
            host, port, secret = told_by_mpi(place)
    else:
        alone = ("", 0), secrets.token_hex(16)
        (host, port), secret = alone if place.size == 1 else (meeting_point(), run_id())
        if place.rank == 0:
            port = start_witness(listening(place), port, place.size, secret)
    near = place.rank == 0 or place.local_size == place.size or host == socket.gethostname()
    return "127.0.0.1" if near else host, port, place.rank, place.size, secret


def told_by_mpi(place):
    """Host and port of the witness that rank 0 starts, and a random secret."""
    mpi = mpi_of(place)  # before there is a witness: it may be missing
    port, secret = 0, secrets.token_hex(16)
    if place.rank == 0:
        port = start_witness(listening(place), port, place.size, secret)
    host, port, secret = mpi.tell(f"{socket.gethostname()} {port} {secret}").split()
    return host, int(port), secret


def listening(place):
    """Where the witness listens: for ranks of this machine, or of any."""
    return "127.0.0.1" if place.local_size == place.size else ""


def needs_mpi(place):
    """Whether ranks on GPUs meet by MPI: if mpiexec started them. Slurm says where they can meet without."""
    return place.launcher.startswith("mpiexec") and importlib.util.find_spec("mpi4py") is not None


def mpi_of(place):
    """ranks/mpi.py, if MPI is there and sees the same ranks as the launcher."""
    try:
        mpi = importlib.import_module("minigpt.ranks.mpi")
    except ImportError as reason:
        raise errors.ConfigError(f"{place.launcher}: {reason}; pip install 'minigpt[mpi]'") from None
    if mpi.MPI.COMM_WORLD.size != place.size:
        raise errors.CommError(
            f"{place.launcher} started {place.size} ranks, and MPI sees {mpi.MPI.COMM_WORLD.size}: the "
            f"launcher and mpi4py must belong to the same MPI (srun: try --mpi=pmi2)"
        )
    return mpi


def together(world, act, *arguments):
    """act(*arguments) on every rank; an error on any is everybody's, and names the rank."""
    if world.size == 1:
        return act(*arguments)
    result, error = None, None
    try:
        result = act(*arguments)
    except errors.MinigptError as reason:
        error = reason
    except OSError as reason:
        error = errors.ConfigError(str(reason))
    told = world.gather([type(error).__name__, str(error)] if error else None)
    first = next((rank for rank, one in enumerate(told) if one), None)
    if first is None:
        return result
    if world.rank != first:
        kind, text = told[first]
        error = getattr(errors, kind, errors.CommError)(f"rank {first}: {text}")
    raise agreed(error)


def from_first(world, act, *arguments):
    """What act(*arguments) returns on rank 0, on every rank; an error there is everybody's."""
    result = together(world, act if world.rank == 0 else lambda *_: None, *arguments)
    return world.gather(result)[0]
