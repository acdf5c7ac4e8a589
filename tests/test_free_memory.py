"""The memory that there is: what machine, control groups and limit leave, the least of them."""

import math
import os
import sys

import pytest

from minigpt import free_memory
from tests.support.fake_groups import make_groups

resource = pytest.importorskip("resource", reason="this system has no limits of this kind")
MINE = "9:memory:/job/step\n0::/job/step\n"


@pytest.fixture(autouse=True)
def unknown(tmp_path, monkeypatch):
    """A system that says nothing."""
    monkeypatch.setattr(free_memory, "MEMORY", tmp_path / "meminfo")
    monkeypatch.setattr(free_memory, "all_of_machine", lambda: math.inf)
    monkeypatch.setattr(resource, "getrlimit", lambda which: (resource.RLIM_INFINITY, 0))


def test_the_least_of_machine_group_and_limit_counts(tmp_path, monkeypatch):
    make_groups(tmp_path, monkeypatch, None, {})
    assert free_memory.available_bytes() == math.inf  # another system
    (tmp_path / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable:    500 kB\nSwapFree: 100 kB\n")
    assert free_memory.available_bytes() == 600 * 1024
    make_groups(tmp_path, monkeypatch, MINE, two("job/step", 300_000, 200_000, 5_000))
    assert free_memory.available_bytes() == 105_000
    make_groups(tmp_path, monkeypatch, MINE, two("job", 250_000, 200_000, 5_000))
    assert free_memory.available_bytes() == 55_000
    make_groups(
        tmp_path, monkeypatch, MINE, two("job", "max", 200_000, 0) | two("job/step", "max", 200_000, 0)
    )  # no limit
    assert free_memory.available_bytes() == 600 * 1024
    monkeypatch.setattr(resource, "getrlimit", lambda which: (0, 0))
    assert free_memory.available_bytes() == 0


def test_groups_of_version_1_count_too(tmp_path, monkeypatch):
    files = {
        "limit_in_bytes": "40000",
        "usage_in_bytes": "30000",
        "stat": "cache 5\ntotal_inactive_file 700\n",
    }
    make_groups(
        tmp_path, monkeypatch, MINE, {f"memory/job/step/memory.{name}": text for name, text in files.items()}
    )
    assert free_memory.available_bytes() == 10_700


def two(group, limit, used, cached):
    """The files of a group of version 2."""
    files = {"max": f"{limit}\n", "current": f"{used}\n", "stat": f"anon 7\ninactive_file {cached}\n"}
    return {f"{group}/memory.{name}": text for name, text in files.items()}


def test_a_machine_without_proc_is_asked_for_its_memory_and_windows_has_no_answer(tmp_path, monkeypatch):
    monkeypatch.undo()
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    left = free_memory.of_machine()
    assert 2**20 < left < 2**50
    monkeypatch.setattr(free_memory, "MEMORY", tmp_path / "absent")
    assert free_memory.of_machine() == whole
    monkeypatch.setattr(sys, "platform", "win32")
    assert free_memory.of_machine() == free_memory.of_limit() == math.inf
