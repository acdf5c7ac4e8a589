"""A process beside the run to which every rank holds a line: it sees at once when one of them is gone.

    python -m minigpt.ranks.witness SOCKET SIZE    started by rank 0 with a listening socket
                                                   and, on its standard input, the secret of this run

MPI and NCCL wait for ever for a rank that is dead. The witness does not: a line that closes without a word,
or on which nothing comes for PATIENCE seconds, is a dead or frozen rank; it says so, with step and exchange,
tells the others to end, and ends. It watches a rank that has taken leave, too, until its process has ended.
No launcher knows of it, so that it can tell even when mpiexec kills all ranks that are left. Between times
it carries what ranks tell each other before and between steps.

Messages are JSON, one a line.
From a rank   {"hello": rank, "pid", "host", "secret"} | {"at": text} | {"gather": n, "value"} | {"beat": 0}
              {"bye": 0} | {"failed": text, "code"}
To a rank     {"beat": pid, "host"} | {"gathered": n, "values"} | {"ended": text, "kill": [pid], "code"}
"""

import contextlib
import hmac
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path

from minigpt.ranks.seen import BEAT, GATHERING, PATIENCE, STARTER, Rank, whole

AT_ONCE = 1  # milliseconds between two ends of which none is known to be the first
PARTING = 8.0  # seconds that ranks have to end after they were told to


class Witness:
    """Listens to all ranks until they have left, or one is gone."""

    def __init__(self, server, size, secret):
        self.server, self.size, self.secret = server, size, secret
        self.parent, self.told = os.getppid(), 0.0
        host, _, pid = os.environ.get(STARTER, "").partition(" ")
        self.starter = int(pid) if host == socket.gethostname() and pid.isdigit() else 0
        self.lines, self.values = [], {}
        self.began, self.code = time.monotonic(), 1  # the exit code of every rank

    def watch(self):
        """The exit code: 0 when every rank has taken leave, 1 when one has not."""
        while len(self.ranks("done")) < self.size:
            self.listen(BEAT / 4)
            self.beat()
            if not self.ranks("here", "left", "done", "gone", "failed") and self.deserted():
                return 1  # nobody is left to be told, and whoever started this has said why
            if cause := self.cause():
                return self.end(cause)
        return 0

    def beat(self):
        """Let ranks know that the witness itself is not frozen."""
        if time.monotonic() - self.told > BEAT:
            self.told = time.monotonic()
            for rank in self.ranks("here"):
                self.show(rank)

    def show(self, rank):
        """A sign of life, by which a rank also knows whom to end should there be no more."""
        rank.tell({"beat": os.getpid(), "host": socket.gethostname()})

    def deserted(self):
        """Whether rank 0's process is gone, or no rank comes."""
        return os.getppid() != self.parent or time.monotonic() - self.began > GATHERING

    def ranks(self, *states):
        """The ranks in some states; strangers are none."""
        return [rank for rank in self.lines if rank.state in states and rank.number is not None]

    def listen(self, seconds):
        """Take what comes within a time."""
        lines = {rank.connection: rank for rank in self.lines if rank.state in ("here", "failed", "left")}
        ready, _, _ = select.select([self.server, *lines], [], [], seconds)
        for one in ready:
            if one is self.server:
                self.lines.append(Rank(self.server.accept()[0]))
            else:
                for message in lines[one].messages():
                    self.hear(lines[one], message)

    def hear(self, rank, message):
        """Act on a rank's message."""
        if rank.number is None:
            self.greet(rank, message)
        elif "bye" in message:
            rank.state = "left"
        elif "failed" in message:
            rank.state, rank.why = "failed", str(message["failed"])
            code = message.get("code")
            self.code = code if whole(code) and 1 <= code <= 255 else 1
        elif "gather" in message:
            self.gather(rank, message["gather"], message.get("value"))
        else:
            rank.at = str(message.get("at", rank.at))

    def greet(self, rank, message):
        """Take a hello by which a rank that has not been here shows that it belongs to this run."""
        number, pid, host = (message.get(name) for name in ("hello", "pid", "host"))
        known = hmac.compare_digest(str(message.get("secret")).encode(), self.secret.encode())
        new = whole(number) and number in self.absent()
        if known and new and whole(pid) and pid > 1 and isinstance(host, str):
            rank.number, rank.pid, rank.host = number, pid, host
            self.show(rank)  # now: the witness may freeze before its next sign of life
        else:
            rank.state = "stranger"
            rank.connection.close()

    def gather(self, rank, turn, value):
        """Keep a value until every rank's is there, then tell them all."""
        values = self.values.setdefault(turn, {})
        values[rank.number] = value
        if len(values) == self.size:
            for each in self.ranks("here"):
                each.tell({"gathered": turn, "values": [values[number] for number in range(self.size)]})
            del self.values[turn]

    def cause(self):
        """Why the run cannot go on, in one line, or nothing."""
        if failed := self.ranks("failed"):
            return f"{failed[0]}: {failed[0].why}{self.elsewhere(failed[0])}"
        if gone := first_of(self.ranks("gone")):
            names = [*map(str, gone), *(f"rank {number}, not yet here," for number in self.absent())]
            return f"{' or '.join(names)} was killed or has crashed, {gone[0].at}"
        if frozen := [rank for rank in self.ranks("here", "left") if rank.silent()]:
            return f"{frozen[0]} is frozen: nothing heard from it for {PATIENCE:g} s, {frozen[0].at}"
        if self.absent() and time.monotonic() - self.began > GATHERING:
            return f"of {self.size} ranks these have not come within {GATHERING:g} s: {self.absent()}"
        if self.starter and not is_alive(self.starter):
            return f"minigpt train --ranks (process {self.starter}), which started the ranks, was killed"
        return ""

    def elsewhere(self, failed):
        """Who has not come to the exchange in which a rank has failed."""
        if not failed.at.startswith("in the "):
            return ""
        others = [f"{rank}, {rank.at}" for rank in self.ranks("here") if rank.at != failed.at]
        return f"; elsewhere: {'; '.join(others)}" if others else ""

    def absent(self):
        """The numbers of ranks that have not said hello."""
        return sorted(set(range(self.size)) - {rank.number for rank in self.lines})

    def end(self, cause):
        """Tell every rank, wait until they are gone, and see to those of this machine that do not go."""
        say(f"minigpt: {cause}; every rank ends now, the same command resumes")
        frozen = [rank for rank in self.ranks("here", "left") if rank.silent()]
        for rank in self.ranks("here", "left"):
            kill = [other.pid for other in frozen if other.host == rank.host]
            rank.tell({"ended": cause, "kill": kill, "code": self.code})
        until = time.monotonic() + PARTING
        while time.monotonic() < until and set(self.ranks("here", "failed", "left")) - set(frozen):
            self.listen(BEAT / 4)
        for rank in self.ranks("here", "failed", "left"):
            if rank.host == socket.gethostname():
                kill_process(rank.pid)
        return 1


def first_of(gone):
    """Of ranks whose lines closed between two looks, the one that was first, or all that may have been.

    A launcher ends the others within milliseconds.
    """
    ages = {rank: rank.quiet_for() for rank in gone}
    return [rank for rank in gone if ages[rank] + AT_ONCE >= max(ages.values())]


def say(line):
    """A line on standard error, which may be closed."""
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)


def is_alive(pid):
    """Whether a process runs; one that has ended while nobody asks for its exit code does not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except OSError:  # another user's, or a machine without /proc
        return True


def kill_process(pid):
    """End a process that may be stopped, or gone."""
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGKILL)


def main():
    """Watch over the ranks of one run."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a terminal's Ctrl-C is for the ranks, which then take leave
    server, size, secret = socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]), sys.stdin.readline()
    return Witness(server, size, secret.strip()).watch()


if __name__ == "__main__":
    sys.exit(main())
