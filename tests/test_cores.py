"""The cores that a process may use: those it is pinned to, and its control groups' shares."""

import os
import subprocess
import sys

import pytest

from minigpt import cores
from minigpt.cores import available_cores
from tests.support.fake_groups import make_groups

TWO = "0::/job/step\n"
ONE = "5:memory:/job/step\n4:cpu,cpuacct:/job/step\n0::/\n"


@pytest.fixture(autouse=True)
def sixteen(monkeypatch):
    monkeypatch.setattr(cores, "pinned", lambda: 16)


@pytest.mark.parametrize(
    ("mine", "files", "expected"),
    [
        (None, {}, 16),  # another system
        (TWO, {}, 16),
        (TWO, {"job/step/cpu.max": "max 100000\n"}, 16),
        (TWO, {"job/step/cpu.max": "400000 100000\n"}, 4),
        (TWO, {"job/step/cpu.max": "150000 100000\n"}, 2),  # rounded up
        (TWO, {"job/step/cpu.max": "1000 100000\n"}, 1),
        (TWO, {"job/step/cpu.max": "3200000 100000\n"}, 16),  # more than it is pinned to
        (TWO, {"job/step/cpu.max": "800000 100000\n", "job/cpu.max": "150000 50000\n"}, 3),
        (TWO, {"job/step/cpu.max": "200000 100000\n", "job/cpu.max": "800000 100000\n"}, 2),
        (TWO, {"job/step/cpu.max": "max 100000\n", "cpu.max": "500000 100000\n"}, 5),
        (TWO, {"other/cpu.max": "100000 100000\n"}, 16),
        (TWO, {"cpu.max": "700000 100000\n"}, 7),  # a container that sees its own group as the root
        ("0::/../../host\n", {"cpu.max": "700000 100000\n"}, 7),
        (TWO, {"job/step/cpu.max": "nonsense\n", "job/cpu.max": "\n"}, 16),
        (ONE, {"cpu/job/step/cpu.cfs_quota_us": "300000\n", "cpu/job/step/cpu.cfs_period_us": "100000\n"}, 3),
        (
            ONE,
            {"cpu,cpuacct/job/cpu.cfs_quota_us": "90000\n", "cpu,cpuacct/job/cpu.cfs_period_us": "20000\n"},
            5,
        ),
        (ONE, {"cpu/job/step/cpu.cfs_quota_us": "-1\n", "cpu/job/step/cpu.cfs_period_us": "100000\n"}, 16),
        (ONE, {"memory/job/cpu.max": "100000 100000\n"}, 16),
        (ONE, {"unified/cpu.max": "200000 100000\n"}, 2),  # both versions at once
    ],
)
def test_the_smallest_share_on_the_way_up_counts(tmp_path, monkeypatch, mine, files, expected):
    make_groups(tmp_path, monkeypatch, mine, files)
    assert available_cores() == expected


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="nothing can be pinned on this system")
def test_a_pinned_process_counts_its_own_cores():
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    code += "from minigpt.cores import available_cores; print(available_cores())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"
