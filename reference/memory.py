"""Is there memory for what is asked? Better said at once, in a line, than found out by taking it all."""

import contextlib
from pathlib import Path

from reference.bad_input import BadInput

with contextlib.suppress(ImportError):  # Windows
    import resource

CONTAINER = Path("/sys/fs/cgroup")  # version 2, as containers show it


def require(needed, what):
    """Refuse what takes more bytes than there are."""
    free = available()
    if free is not None and needed > free:
        raise BadInput(
            f"{what} needs about {size(needed)} of memory, {size(free)} are available: "
            f"take a smaller model or batch"
        )


def available():
    """Bytes that this process may still take, by the narrowest limit; None where the system tells none."""
    limits = [limit for limit in (unused(), within_address_space(), within_container()) if limit is not None]
    return max(0, min(limits)) if limits else None


def unused():
    """What the machine has, caches that can be given up included."""
    return value_of(Path("/proc/meminfo"), "MemAvailable:", 1024)


def within_address_space():
    """What `ulimit -v` leaves."""
    taken = value_of(Path("/proc/self/status"), "VmSize:", 1024)
    if taken is None:
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if limit == resource.RLIM_INFINITY else limit - taken


def within_container():
    """What a control group leaves, caches that can be given up not counted."""
    limit, taken = value_of(CONTAINER / "memory.max"), value_of(CONTAINER / "memory.stat", "anon", 1)
    return None if limit is None or taken is None else limit - taken


def value_of(path, word="", unit=1):
    """The whole number behind a word at the beginning of a line, in bytes; None where there is none."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    numbers = [line.removeprefix(word).split() for line in lines if line.startswith(word)]
    return int(numbers[0][0]) * unit if numbers and numbers[0] and numbers[0][0].isdecimal() else None


def size(count):
    """2_100_000_000 -> "2.1 GB"; 380_000 -> "0.4 MB"."""
    return f"{count / 1e9:,.1f} GB" if count >= 1e8 else f"{count / 1e6:,.1f} MB"
