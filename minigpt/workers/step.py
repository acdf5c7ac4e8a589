"""train_step by several processes, where that pays; else by the threads of this one."""

import os
import warnings
import weakref

from minigpt import kernels
from minigpt.errors import CommError
from minigpt.train import train_step
from minigpt.workers.memory import Shared, private
from minigpt.workers.processes import Processes
from minigpt.workers.shares import may_pay, shares_of
from minigpt.workers.world import Neighbours

TRAINERS: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()  # each with its Workers


def settle_in_child():
    """A forked child has weights of its own from here on, and nothing to do with its parent's workers."""
    for trainer, workers in list(TRAINERS.items()):
        workers.processes.disown()
        trainer.state = private(trainer.state)
        if trainer.train_step is workers:
            trainer.train_step = train_step
            share(trainer)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=settle_in_child)


def share(trainer):
    """Let processes make a trainer's steps, if that may pay: its state moves to memory that they share."""
    if not may_pay(trainer.ops, trainer.world, trainer.params):
        return
    try:
        workers = Workers(trainer.config, trainer.state, trainer.ops.threads)
    except OSError:  # no descriptors are left, or files may not be so long: threads need neither
        return
    trainer.state, trainer.train_step = workers.shared.place(trainer.state), workers
    TRAINERS[trainer] = workers


class Workers:
    """workers(config, optimizer, ops, world, state, batches) is train_step(...), by up to `size` processes.

    The first is this one; the others start with the first step that they are for. One that dies, or gives no
    answer, is replaced and the step made once more; in the middle of AdamW that would be too late: CommError.
    Model, operations and world are those of the beginning.
    """

    def __init__(self, config, state, size):
        self.about, self.size = {"config": vars(config), "size": size}, size
        self.shared, self.processes = Shared(state.params.buffer.size, size), Processes()
        self.ops = kernels.table("fast", "float32", threads=1)
        self.torn = False  # whether some weights have moved and others not

    def __call__(self, config, optimizer, ops, world, state, batches):
        """One optimizer step."""
        if self.torn:
            raise CommError("a worker process died while weights were being changed: go on from a checkpoint")
        state = self.shared.place(state)
        shares, weights = shares_of(batches, config.n_embd, self.size)
        for tries_left in (1, 0):
            if not shares or not self.started(len(shares) - 1):
                return train_step(config, optimizer, ops, world, state, batches)
            try:
                return self.together(config, optimizer, state, shares, weights)
            except (EOFError, OSError) as reason:
                if self.torn or not tries_left:
                    raise CommError(self.lost(state, reason)) from None

    def lost(self, state, reason):
        """What there is to say when a step was not to be made."""
        what = "some weights have moved: go on from a checkpoint" if self.torn else "no weight has moved"
        return (
            f"step {state.step + 1}: a worker process died (killed, or out of memory) or gave no answer: "
            f"{reason}; {what}; one thread alone (threads=1, --threads 1) does without workers"
        )

    def together(self, config, optimizer, state, shares, weights):
        """train_step, this process's share of it beside the others'. Raises EOFError or OSError."""
        lines = self.processes.lines[: len(shares) - 1]
        world = Neighbours(0, lines, self.shared.grads, weights)
        order = {"step": int(state.step), "updates": int(state.updates), "optimizer": vars(optimizer)}
        try:
            for line, share in zip(lines, shares[1:], strict=True):
                about = {"weights": weights, "shape": share.shape, "bytes": share.nbytes}
                line.say(order | about, share.tobytes())
            own = world.shard(state.first.size)
            part = state._replace(first=state.first[own], second=state.second[own])
            after, report = train_step(config, optimizer, self.ops, world, part, shares[0])
        except BaseException as error:
            self.torn = world.moving and isinstance(error, (EOFError, OSError))  # Ctrl-C is as with threads
            self.processes.end()  # they may be anywhere in the step
            raise
        return after._replace(first=state.first, second=state.second), report

    def started(self, count):
        """Whether there are so many workers. If they cannot start, threads make the steps from here on."""
        for tries_left in (1, 0):
            try:
                self.processes.grow(count, self.shared.file, self.about)
                return True
            except (EOFError, OSError) as reason:
                if tries_left and isinstance(reason, (EOFError, ConnectionError)):  # it was killed on its way
                    continue
                instead = "threads make the steps, slower and rounded otherwise"
                said = f"no worker process could start ({reason}): {instead}"
                warnings.warn(said, RuntimeWarning, stacklevel=2)
                self.size = 1
                return False
