"""Ranks are read from what launchers put into the environment."""

import pytest

from minigpt.errors import CommError
from minigpt.ranks.launchers import Place, place, tasks_here
from minigpt.ranks.meeting import first_host, meeting_point, run_id

MPICH = {"PMI_RANK": "2", "PMI_SIZE": "4", "MPI_LOCALRANKID": "0", "MPI_LOCALNRANKS": "2"}
TORCHRUN = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"}
STEP = {"SLURM_PROCID": "9", "SLURM_STEP_NUM_TASKS": "16", "SLURM_LOCALID": "1"}
OPEN_MPI = {
    "OMPI_COMM_WORLD_RANK": "1",
    "OMPI_COMM_WORLD_SIZE": "2",
    "OMPI_COMM_WORLD_LOCAL_RANK": "1",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        (MPICH, Place("mpiexec (MPICH)", 2, 4, 0, 2, True)),
        (OPEN_MPI, Place("mpiexec (Open MPI)", 1, 2, 1, 2, True)),
        (TORCHRUN, Place("torchrun", 5, 8, 1, 4, False)),
        (STEP | {"SLURM_STEP_TASKS_PER_NODE": "8(x2)"}, Place("srun", 9, 16, 1, 8, True)),
        (MPICH | STEP, Place("mpiexec (MPICH)", 2, 4, 0, 2, True)),
        ({"PMI_RANK": "9", "PMI_SIZE": "16"} | STEP, Place("mpiexec (MPICH)", 9, 16, 1, 2, True)),
        # a batch script is no rank: it belongs to no step
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "16", "SLURM_LOCALID": "0"}, None),
        ({"PMI_RANK": "0", "PMI_SIZE": "1"}, Place("mpiexec (MPICH)", 0, 1, 0, 1, True)),
    ],
)
def test_places(environment, expected):
    assert place(environment) == expected


NONSENSE = [{"PMI_RANK": "4"}, {"PMI_RANK": "x"}, {"PMI_SIZE": "-1"}, {"PMI_SIZE": ""}]
NONSENSE += [{"PMI_SIZE": "9" * 5000}]


@pytest.mark.parametrize("changes", NONSENSE)
def test_nonsense_is_refused(changes):
    with pytest.raises(CommError, match="PMI_"):
        place(MPICH | changes)


@pytest.mark.parametrize(("value", "most"), [("8(x2),4", 8), ("2,16(x3)", 16), ("1", 1), ("", 1), ("x", 1)])
def test_tasks_of_a_machine(value, most):
    assert tasks_here(value) == most


@pytest.mark.parametrize(
    ("nodes", "host"),
    [
        ("gpu07", "gpu07"),
        ("gpu[07-09,12],cpu1", "gpu07"),
        ("a,b", "a"),
        ("n[1,3]-ib", "n1-ib"),
        ("x1-[2-3]", "x1-2"),
    ],
)
def test_the_first_host_of_slurms_list(nodes, host):
    assert first_host(nodes) == host


def test_meeting_points():
    assert meeting_point({"MASTER_ADDR": "host", "MASTER_PORT": "29400"}) == ("host", 29400)
    torchrun = {"MASTER_ADDR": "host", "MASTER_PORT": "29400", "TORCHELASTIC_USE_AGENT_STORE": "True"}
    assert meeting_point(torchrun) == ("host", 29401)
    assert meeting_point({"SLURM_STEP_NODELIST": "n[3-4]", "SLURM_JOB_ID": "1234567"}) == ("n3", 24567)
    steps = [{"SLURM_STEP_NODELIST": "n3", "SLURM_JOB_ID": "1", "SLURM_STEP_ID": step} for step in "01"]
    assert meeting_point(steps[0]) != meeting_point(steps[1])
    assert run_id(steps[0]) != run_id(steps[1])


@pytest.mark.parametrize(
    "environment",
    [{}, {"MASTER_ADDR": "h", "MASTER_PORT": "x"}, {"MASTER_ADDR": "h", "MASTER_PORT": "65535"},
     {"SLURM_STEP_NODELIST": "", "SLURM_JOB_ID": "1"}, {"SLURM_STEP_NODELIST": "n1", "SLURM_JOB_ID": "x"}],
)  # fmt: skip
def test_a_meeting_point_that_is_none_is_refused(environment):
    with pytest.raises(CommError):
        meeting_point(environment)
