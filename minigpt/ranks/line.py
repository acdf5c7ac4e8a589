"""A rank's line to the witness: signs of life, where it is, and what ranks tell each other between steps."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time

from minigpt.errors import CommError
from minigpt.ranks.seen import ANSWER, BEAT, GATHERING, PATIENCE
from minigpt.ranks.witness import kill_process


def start_witness(host, port, size, secret):
    """Start the witness beside this process, listening at host and port (0: any); the port."""
    try:
        server = socket.create_server((host, port), backlog=size, reuse_port=False)
    except OSError as error:
        raise CommError(f"rank 0 cannot listen at {host or 'this machine'}, port {port}: {error}") from None
    with server:
        command = [sys.executable, "-m", "minigpt.ranks.witness", str(server.fileno()), str(size)]
        # a session of its own: what ends the ranks must not end the one who tells of it
        witness = subprocess.Popen(
            command, pass_fds=[server.fileno()], start_new_session=True, stdin=subprocess.PIPE
        )
        with witness.stdin as words:  # not in argv, which everybody may read
            words.write(f"{secret}\n".encode())
        return server.getsockname()[1]


class Line:
    """line.gather(value) asks all ranks; with line.within("all-reduce"): ... says where this one is."""

    def __init__(self, host, port, rank, size, secret):
        self.size, self.step, self._turn, self._doing = size, 0, 0, "starting"
        self._answers, self._news, self._checks = {}, threading.Condition(), []
        self._speaking, self._open = threading.Lock(), True
        self._witness = []  # its process, if on this machine
        self._connection, self._heard = connected(host, port), (time.monotonic(), GATHERING)
        self._tell({"hello": rank, "pid": os.getpid(), "host": socket.gethostname(), "secret": secret})
        threading.Thread(target=self._listen, name="line", daemon=True).start()
        threading.Thread(target=self._beat, name="beat", daemon=True).start()

    def gather(self, value):
        """Every rank's value, in their order. Raises CommError if they do not come."""
        self._turn += 1
        self._tell({"gather": self._turn, "value": value})
        with self.within("agreement"), self._news:
            if not self._news.wait_for(lambda: self._turn in self._answers, ANSWER):
                raise CommError(f"step {self.step}: not every rank has answered within {ANSWER:g} s")
            return self._answers.pop(self._turn)

    def at(self, step):
        """From now on this rank is computing a step."""
        self.step, self._doing = step, f"computing step {step}"
        self._tell({"at": self._doing})

    def doing(self, what):
        """From now on this rank is doing something else, as "saving"."""
        self._doing = f"{what} after step {self.step}"
        self._tell({"at": self._doing})

    @contextlib.contextmanager
    def within(self, exchange):
        """Be in an exchange until the end of the block."""
        self.wait_in(exchange)
        yield
        self._tell({"at": f"{self._doing}, after the {exchange}"})

    def wait_in(self, exchange):
        """From now on this rank waits for the others."""
        self._tell({"at": f"in the {exchange} of step {self.step}"})

    def watch(self, check):
        """Ask check() at every sign of life; what it says is why this rank cannot go on, unless it is ""."""
        self._checks.append(check)

    def fail(self, reason, code=1):
        """This rank cannot go on: let the others know, who then end with this exit code."""
        self._open = False
        self._tell({"failed": reason, "code": code})

    def close(self):
        """This rank is done. The line itself closes with the process, which may freeze until then."""
        self._open = False
        self._tell({"bye": 0})

    def _tell(self, message):
        with self._speaking, contextlib.suppress(OSError):  # a witness that is gone is noticed by _listen
            self._connection.sendall(json.dumps(message).encode() + b"\n")

    def _beat(self):
        while True:
            time.sleep(BEAT)
            self._tell({"beat": 0})
            if not self._open:
                continue
            heard, patience = self._heard
            if time.monotonic() - heard > patience:
                print(
                    f"minigpt: nothing heard from the witness of this run for {patience:g} s; the same "
                    f"command resumes",
                    file=sys.stderr,
                    flush=True,
                )
                end(self._witness, 1)  # mpiexec would wait for it
            if reason := self._reason():
                self.fail(reason)
                time.sleep(BEAT)  # for the witness to say so
                os._exit(1)  # what the main thread waits for will not come

    def _reason(self):
        """Why this rank cannot go on, or nothing."""
        try:
            return next(filter(None, (check() for check in self._checks)), "")
        except Exception as error:
            return f"{type(error).__name__}: {error}"

    def _listen(self):
        with contextlib.suppress(OSError, ValueError), self._connection.makefile("rb") as lines:
            for line in lines:
                message = json.loads(line)
                if "ended" in message:
                    end(message["kill"], message["code"])
                self._heard = time.monotonic(), 2 * PATIENCE
                if "beat" in message:
                    self._witness = [message["beat"]] if message["host"] == socket.gethostname() else []
                    continue
                with self._news:
                    self._answers[message["gathered"]] = message["values"]
                    self._news.notify_all()
        if self._open:
            print("minigpt: the witness of this run is gone; the same command resumes", file=sys.stderr)
            end([], 1)


def connected(host, port):
    """A connection to the witness, which may not listen yet. Raises CommError after GATHERING seconds."""
    until = time.monotonic() + GATHERING
    while True:
        try:
            connection = socket.create_connection((host, port), timeout=5)
            connection.settimeout(None)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection
        except OSError as error:
            if time.monotonic() > until:
                raise CommError(f"no rank 0 at {host}, port {port}, in {GATHERING:g} s: {error}") from None
            time.sleep(0.1)


def end(frozen, code):
    """End this process at once, wherever it waits, and those of this machine that are frozen."""
    for pid in frozen:
        kill_process(pid)
    os._exit(code)
