"""Starts ranks as launchers do, in real processes."""

import os
import random
import socket
import subprocess
import sys

from minigpt.ranks.launchers import LAUNCHERS
from minigpt.ranks.spawn import mpiexec

OURS = [name for launcher in LAUNCHERS.values() for name in launcher.names]
PATIENCE = 120  # seconds


def by_mpiexec(size, *command):
    """[what `mpiexec -n size python -m command` prints]."""
    return output([subprocess.Popen([mpiexec(), "-n", str(size), *python(command)], **PIPES)])


def by_nobody(*command):
    """[what a process prints that no launcher started]."""
    return started([{}], command)


def by_torchrun(size, *command):
    """What each of the ranks prints, with torchrun's variables around it."""
    port = free_ports(2)
    common = {"WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    common["TORCHELASTIC_USE_AGENT_STORE"] = "True"  # MASTER_PORT itself is torchrun's own
    return started([common | {"RANK": rank, "LOCAL_RANK": rank} for rank in range(size)], command)


def by_srun(size, *command):
    """What each of the ranks prints, with the variables of a Slurm step around it."""
    common = {"SLURM_STEP_NUM_TASKS": size, "SLURM_STEP_TASKS_PER_NODE": size, "SLURM_JOB_ID": free_ports(1)}
    common["SLURM_STEP_NODELIST"] = socket.gethostname()
    return started([common | {"SLURM_PROCID": rank, "SLURM_LOCALID": rank} for rank in range(size)], command)


def started(environments, command):
    """What each process prints."""
    plain = {name: value for name, value in os.environ.items() if name not in OURS}
    return output(
        [
            subprocess.Popen(
                python(command), env=plain | {name: str(value) for name, value in one.items()}, **PIPES
            )
            for one in environments
        ]
    )


def output(processes):
    """What processes print; an error if one of them fails."""
    ended = [(*process.communicate(timeout=PATIENCE), process.returncode) for process in processes]
    for _, error, code in ended:
        assert code == 0, error
    return [out for out, _, _ in ended]


def python(command):
    return [sys.executable, "-m", *command]


def free_ports(count):
    """The first of some neighbouring ports on which nobody listens, from which a Slurm job takes its own."""
    while True:
        first = random.randrange(20_000, 30_000 - count)
        with_ports = [socket.socket() for _ in range(count)]
        try:
            for i, one in enumerate(with_ports):
                one.bind(("", first + i))
            return first
        except OSError:
            continue
        finally:
            for one in with_ports:
                one.close()


PIPES = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
