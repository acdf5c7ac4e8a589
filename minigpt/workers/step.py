"""train_step by several processes, where that pays; else by the threads of this one."""

import contextlib
import os
import socket
import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np

from minigpt import kernels
from minigpt.errors import CommError
from minigpt.kernels.cpu.team import slices
from minigpt.ops.cross_entropy import IGNORED
from minigpt.train import train_step
from minigpt.workers.memory import Shared
from minigpt.workers.world import Neighbours, hear, say

# measured on two cores: where processes took 0.7 to 0.95 of the time of threads
MOST_PARAMETERS = 2**22  # each process reads the gradients of all
LEAST, MOST = 2**15, 2**19  # numbers in a worker's widest array (rows, 4C)
ANSWER, LEAVE = 600, 5  # seconds that a worker has to answer, and to be gone: a step takes less than one

ALL: weakref.WeakSet["Workers"] = weakref.WeakSet()


def leave_to_parent():
    """A forked child has nothing to do with its parent's workers."""
    for workers in ALL:
        workers.leave()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=leave_to_parent)


def may_pay(config, ops, world, params):
    """Whether steps of a model could be quicker by processes, if their batches suit."""
    return (
        hasattr(os, "memfd_create")  # Linux
        and isinstance(params.buffer, np.ndarray)
        and (ops.name, params.buffer.dtype) == ("fast", np.float32)
        and ops.threads > 1
        and (world.size, world.sharded) == (1, False)
        and params.buffer.size <= MOST_PARAMETERS
    )


class Workers:
    """workers(config, optimizer, ops, world, state, batches) is train_step(...), by up to `size` processes.

    The first is this one; the others start with the first step that they are for, and end with this object or
    its process. Raises CommError if one of them does not answer.
    """

    def __init__(self, config, state, size):
        self.config, self.size = config, size
        self.shared = Shared(state.params.buffer.size, size)
        self.ops = kernels.table("fast", "float32", threads=1)
        self.lines, self.processes, self.torn = [], [], False
        self.end = weakref.finalize(self, end, self.lines, self.processes)
        ALL.add(self)

    def place(self, state):
        """The state, in memory that the workers see."""
        return self.shared.place(state)

    def __call__(self, config, optimizer, ops, world, state, batches):
        """One optimizer step."""
        if self.torn:
            raise CommError("a worker process died while weights were being changed: go on from a checkpoint")
        state = self.place(state)
        shares, weights = dealt(batches, config.n_embd, self.size)
        if not shares or not self.started(len(shares) - 1):
            return train_step(config, optimizer, ops, world, state, batches)
        world = Neighbours(0, self.lines[: len(shares) - 1], self.shared.grads, weights)
        order = {
            "step": state.step,
            "updates": state.updates,
            "optimizer": vars(optimizer),
            "weights": weights,
        }
        with self.answering(world):
            for line, share in zip(world.lines, shares[1:], strict=True):
                ask(line, order, share)
            own = world.shard(state.first.size)
            part = state._replace(first=state.first[own], second=state.second[own])
            after, report = train_step(config, optimizer, self.ops, world, part, shares[0])
        return after._replace(first=state.first, second=state.second), report

    @contextlib.contextmanager
    def answering(self, world):
        """Whatever ends a step within ends the workers, too, which may be anywhere in it."""
        try:
            yield
        except (EOFError, OSError) as reason:
            self.torn = world.moving
            self.stop()
            raise CommError(
                f"a worker process died (killed, or out of memory) or gave no answer: {reason}; "
                f"threads=1 does without"
            ) from None
        except BaseException:
            self.stop()
            raise

    def started(self, count):
        """Whether so many workers are there, those that were missing started. If they cannot be, none is."""
        new, ready = range(len(self.lines), count), False
        try:
            for _ in new:
                start(self.shared.file, self.lines, self.processes)
            for i in new:
                say(self.lines[i], {"config": vars(self.config), "rank": i + 1, "size": self.size})
            ready = all([hear(self.lines[i]) for i in new])
        except (OSError, EOFError):  # no more processes are allowed here, or no more memory
            self.size = 1
        finally:
            if not ready:
                self.stop()
        return ready

    def stop(self):
        """No workers any more, until a step wants them again."""
        end(self.lines, self.processes)

    def leave(self):
        """In a forked child: the workers are the parent's, and so is the memory."""
        for line in self.lines:
            line.close()
        self.lines.clear()
        self.processes.clear()
        self.shared = Shared(self.shared.params.size, self.size)


def dealt(batches, width, size):
    """Each worker's share of all batches, (parts, 2, rows, T), and what it weighs; empty if it does not pay.

    The mean over a batch is that over its targets, so a share weighs as many as it has, in each part alike.
    """
    tokens, _ = batches[0]
    B, T = tokens.shape
    size = min(size, B, B * T * 4 * width // LEAST)
    if size < 2 or B * T * 4 * width > MOST * size or any(pair[0].shape != (B, T) for pair in batches):
        return [], []
    whole = np.stack([np.stack(pair) for pair in batches])  # (parts, 2, B, T)
    shares = [whole[:, :, rows] for rows in slices(B, size)]
    counts = np.array([(share[:, 1] != IGNORED).sum(axis=(1, 2)) for share in shares])  # (size, parts)
    weights = counts / counts.sum(axis=0)
    if (weights != weights[:, :1]).any() or not weights.all():
        return [], []
    return shares, weights[:, 0].tolist()


def ask(line, order, share):
    """Tell a worker to make its part of a step."""
    about = {"dtype": share.dtype.str, "shape": share.shape, "bytes": share.nbytes}
    say(line, order | about)
    line.write(share.tobytes())
    line.flush()


def start(file, lines, processes):
    """Start a worker; its line and its process are added to what there is."""
    ours, theirs = socket.socketpair()
    ours.settimeout(ANSWER)
    lines.append(ours.makefile("rwb"))
    ours.close()  # the line keeps it open
    with theirs:
        # a session of its own: what ends this process, as Ctrl-C, is for this one to answer
        worker = subprocess.Popen(
            [sys.executable, "-P", "-m", "minigpt.workers.worker", str(file), str(theirs.fileno())],
            pass_fds=[file, theirs.fileno()],
            env=os.environ | {"PYTHONPATH": path(), "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,
        )
    processes.append(worker)


def path():
    """Where a worker finds the modules that this process has."""
    here = Path(__file__).resolve().parents[2]
    return os.pathsep.join([str(here), *filter(None, sys.path)])


def end(lines, processes):
    """Close the lines, so that workers leave after what they are at, and wait for that."""
    while lines:
        with contextlib.suppress(OSError):  # what it had not sent
            lines.pop().close()
    while processes:
        process = processes.pop()
        try:
            process.wait(LEAVE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
