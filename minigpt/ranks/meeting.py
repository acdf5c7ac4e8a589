"""Where ranks meet that no MPI connects: a host and a port that all of them work out for themselves."""

import hashlib
import os
import re

from minigpt.errors import CommError
from minigpt.ranks.launchers import number

PORTS = 20_000, 30_000  # from which a Slurm step takes its own, by its numbers
NAMES = "TORCHELASTIC_RUN_ID", "SLURM_JOB_ID", "SLURM_STEP_ID", "MASTER_ADDR", "MASTER_PORT"


def meeting_point(environment=os.environ):
    """(host, port) of rank 0. Raises CommError if the environment does not say.

    torchrun's own server listens on MASTER_PORT, so ranks meet one port above. Slurm names the machines of a
    step; the first one has rank 0.
    """
    if "MASTER_ADDR" in environment:
        port = environment.get("MASTER_PORT", "29500")
        if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65535:
            raise CommError(f"MASTER_PORT must be from 1 to 65534: found {port!r}")
        taken = environment.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
        return environment["MASTER_ADDR"], int(port) + taken
    if "SLURM_STEP_NODELIST" in environment:
        first, last = PORTS
        job, step = number(environment, "SLURM_JOB_ID"), number(environment, "SLURM_STEP_ID")
        port = first + (job + 1009 * step) % (last - first)  # steps of a job may run side by side
        return first_host(environment["SLURM_STEP_NODELIST"]), port
    raise CommError("no MASTER_ADDR: expected the address of rank 0's machine, and MASTER_PORT; set both")


def run_id(environment=os.environ):
    """What only the ranks of one run have alike, as far as its launcher tells: a hash of its names."""
    return hashlib.sha256(repr([environment.get(name) for name in NAMES]).encode()).hexdigest()


def first_host(nodes):
    """The first of Slurm's list of machines: "gpu[07-09,12],cpu1" -> "gpu07"."""
    found = re.match(r"([^,\[]+)(?:\[(\w+)[^\]]*\]([^,]*))?", nodes)
    if not found:
        raise CommError(f"SLURM_STEP_NODELIST must name machines: found {nodes!r}")
    return "".join(part or "" for part in found.groups())
