"""How much memory this process can still have, as far as the system says."""

import math
import os
import sys
from pathlib import Path

from minigpt import cgroups

MEMORY = Path("/proc/meminfo")


def available_bytes() -> float:
    """What is left of the machine, of its control groups, of its own limit; inf if nothing is known."""
    return min(of_machine(), of_groups(), of_limit())


def of_machine() -> float:
    """Free or quickly freed, swap included; where the system does not say, all that the machine has."""
    try:
        words = [line.split() for line in MEMORY.read_text(encoding="ascii").splitlines()]
        kilobytes = {name.rstrip(":"): int(number) for name, number, *_ in words}
        return 1024 * (kilobytes["MemAvailable"] + kilobytes.get("SwapFree", 0))
    except (OSError, ValueError, KeyError):
        return all_of_machine()


def all_of_machine() -> float:
    """Its memory, where the system says so: macOS does, Windows does not."""
    if sys.platform == "win32":
        return math.inf
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return math.inf


def of_groups() -> float:
    """Of a container or a job."""
    left = cgroups.least("memory", left_of)
    return math.inf if left is None else left


def left_of(group: Path) -> int:
    """What a control group has not used; files in its cache can be dropped. ValueError if it has no limit."""
    if (group / "memory.max").exists():
        limit, used, cached = "max", "current", "inactive_file"
    else:  # version 1
        limit, used, cached = "limit_in_bytes", "usage_in_bytes", "total_inactive_file"
    left = number_in(group / f"memory.{limit}") - number_in(group / f"memory.{used}")
    words = dict(line.split() for line in (group / "memory.stat").read_text(encoding="ascii").splitlines())
    return max(0, left + int(words.get(cached, 0)))


def number_in(path: Path) -> int:
    """The number in a file; ValueError if there is none, as in memory.max without a limit."""
    return int(path.read_text(encoding="ascii"))


def of_limit() -> float:
    """Of `ulimit -v`: address space, of which a part is used."""
    if sys.platform == "win32":
        return math.inf
    import resource

    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return math.inf
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError):
        pages = 0
    return max(0, limit - pages * resource.getpagesize())
