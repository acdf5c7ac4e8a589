"""How many cores this process may use, which can be fewer than the machine has."""

import math
import os
from pathlib import Path

from minigpt import cgroups


def available_cores() -> int:
    """Those that it is pinned to, and no more than its control groups' share of time comes to; at least 1.

    A share of 1.5 cores is 2: rounded down, half a core would never be used. Python 3.13 and newer heed
    PYTHON_CPU_COUNT, too.
    """
    share = cgroups.least("cpu", cores_of)
    return pinned() if share is None else min(pinned(), math.ceil(share))


def pinned() -> int:
    """The cores that the system may run this process on."""
    if hasattr(os, "process_cpu_count"):  # Python 3.13
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cores_of(group: Path) -> float:
    """A control group's share, in cores: time in every period of so much. ValueError if it has no limit."""
    try:
        quota, period = (group / "cpu.max").read_text(encoding="ascii").split()  # "max 100000": no limit
    except FileNotFoundError:
        files = [group / f"cpu.cfs_{what}_us" for what in ("quota", "period")]
        quota, period = (file.read_text(encoding="ascii") for file in files)
    if int(quota) <= 0 or int(period) <= 0:  # version 1: -1 is no limit
        raise ValueError(f"{group}: no limit")
    return int(quota) / int(period)
