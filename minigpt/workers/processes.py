"""Worker processes: how they start, and how they end."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import weakref
from pathlib import Path

from minigpt.system import held_back
from minigpt.workers.line import Line

READY = 60  # seconds that a worker has to start; all three are far more than it needs
ANSWER = 600  # to answer
LEAVE = 5  # to be gone
OURS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Processes:
    """Workers of one trainer; lines lead to them. They end with this object, or with its process."""

    def __init__(self):
        self.lines, self._processes = [], []
        weakref.finalize(self, hang_up, self.lines, self._processes)

    @property
    def numbers(self):
        """By which the system knows them."""
        return [process.pid for process in self._processes]

    def grow(self, count, file, about):
        """Be at least so many. Raises OSError or EOFError if they cannot start.

        file: the descriptor of the memory. about: what each is told, besides its rank.
        """
        new = range(len(self.lines), count)
        try:
            for _ in new:
                start(file, self.lines, self._processes)
            for i in new:
                self.lines[i].say(about | {"rank": i + 1})
            for i in new:
                self.lines[i].hear()
                self.lines[i].socket.settimeout(ANSWER)
        except BaseException:
            self.end()
            raise

    def end(self):
        """Be none any more."""
        hang_up(self.lines, self._processes)

    def disown(self):
        """In a forked child: they are the parent's."""
        for line in self.lines:
            line.close()
        self.lines.clear()
        self._processes.clear()


def start(file, lines, processes):
    """Start a worker; its line and its process are added to what there is.

    A signal to a whole job is for the process that asks for steps; its workers end when that hangs up.
    """
    with held_back(OURS):  # a worker begins with this mask
        ours, theirs = socket.socketpair()
        ours.settimeout(READY)
        lines.append(Line(ours))
        with theirs:
            worker = subprocess.Popen(
                [sys.executable, "-P", "-m", "minigpt.workers.worker", str(file), str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[file, theirs.fileno()],
                env=os.environ | {"PYTHONPATH": path(), "OPENBLAS_NUM_THREADS": "1"},
            )
        processes.append(worker)


def path():
    """Where a worker finds the modules that this process has, in this one's order."""
    places = [place for place in sys.path if isinstance(place, str) and place]
    here = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join(places if here in places else [*places, here])


def hang_up(lines, processes):
    """Close the lines, so that workers leave after what they are at, and wait for that."""
    while lines:
        with contextlib.suppress(OSError):
            lines[-1].close()
        lines.pop()
    while processes:
        try:
            processes[-1].wait(LEAVE)
        except subprocess.TimeoutExpired:
            processes[-1].kill()
            processes[-1].wait()
        processes.pop()
