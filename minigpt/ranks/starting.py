"""A process beside a rank that ends it if it does not get through its start in time.

MPI's start waits for every rank, for ever, and holds Python's lock meanwhile: no thread of the rank itself
could tell that one is missing. This file is run by its path, so that it starts in milliseconds.
"""

import os
import select
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress

COURTESY = 2.0  # seconds more for one that waits: the one that is frozen is named first


@contextmanager
def ended_after(seconds, rank, size):
    """End this process, saying so, unless the block ends within some seconds."""
    words = [str(os.getpid()), str(seconds), str(rank), str(size)]
    guard = subprocess.Popen(
        [sys.executable, "-I", "-S", __file__, *words], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        yield
    finally:
        guard.stdin.close()
        guard.wait()


def is_through(seconds):
    """Whether the rank has got through its start within a time, or is gone."""
    return bool(select.select([sys.stdin], [], [], seconds)[0])


def state_of(pid):
    """A process's state as Linux has it: T is stopped."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0]
    except OSError:
        return "?"


def main():
    """Wait for the end of standard input, which closes with the rank too."""
    pid, seconds = int(sys.argv[1]), float(sys.argv[2])
    rank, size = sys.argv[3:5]
    if is_through(seconds):
        return
    if state_of(pid) == "T":
        why = "is frozen while it starts"
    elif is_through(COURTESY):
        return
    else:
        why = f"has waited {seconds:g} s for all {size} ranks to start: one is frozen, or has never begun"
    with suppress(OSError):
        print(f"minigpt: rank {rank} (process {pid}) {why}; it ends now, the same command resumes",
              file=sys.stderr, flush=True)  # fmt: skip
    with suppress(OSError):
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
