"""Run as a rank: a small training in which one rank meets trouble. Prints what each rank has seen, as JSON.

python -m tests.ranks.troubles TROUBLE RANK STEP
"""

import hashlib
import json
import sys
import time

import numpy as np

from minigpt.config import GPTConfig
from minigpt.errors import CheckpointError, MinigptError
from minigpt.model import init_params
from minigpt.ranks.equal import agreed, check_settings, check_weights
from minigpt.ranks.worlds import from_first, joined, together
from minigpt.trainer import Trainer, memory_for
from tests.ranks.steps import parts_of

CONFIG = GPTConfig(2, 2, 8, 12, 37)
STEPS = 3


def digest(trainer):
    """The SHA-256 of weights and moments."""
    state = trainer.state
    held = [array.tobytes() for array in (state.params.buffer, state.first, state.second)]
    return hashlib.sha256(b"".join(held)).hexdigest()


def nan(trainer, _):
    """A gradient that is no number, in the ops of one rank."""
    backward = trainer.ops.embedding_backward
    trainer.ops.embedding_backward = lambda *a, **k: tuple(np.nan * g for g in backward(*a, **k))
    return lambda: setattr(trainer.ops, "embedding_backward", backward)


def bit(trainer, _):
    """One bit of one weight."""
    trainer.state.params["h.1.mlp.c_fc.bias"].view(np.uint64)[3] ^= 1
    return lambda: None


def error(trainer, _):
    """Something that nobody expects."""
    raise RuntimeError("cosmic rays")


def hang(trainer, _):
    """A main thread that waits for something else, while its signs of life go on."""
    trainer.world.doing("saving")
    time.sleep(60)


TROUBLES = {"hang": hang, "nan": nan, "bit": bit, "error": error}


def train(world, trouble, rank, step):
    """verdicts and digests, step by step."""
    trainer = Trainer(CONFIG, init_params(CONFIG, 0, "float64"), world=world, ops="reference")
    said = []
    for now in range(STEPS):
        parts = parts_of(CONFIG, now, 12, 24, 8)
        share = len(parts) // world.size
        mend = TROUBLES[trouble](trainer, now) if (world.rank, now) == (rank, step) else lambda: None
        before = digest(trainer)
        report = trainer.step_in_parts(parts[world.rank * share :][:share])
        mend()
        said.append([report.verdict.accepted, before == digest(trainer)])
        check_weights(world, now + 1, trainer.params)
    return said, len(trainer.state.guard.losses)


def settings(world, rank):
    """One rank is told something else."""
    check_settings(world, {"lr": 1e-3 if world.rank == rank else 2e-3, "seed": 1})


def refused(world, rank):
    """One rank finds that its data is not there, while others have theirs."""

    def act():
        if world.rank == rank:
            raise MinigptError("no such shard")
        return world.rank

    from_first(world, lambda: "the first's answer")
    together(world, act)


def unreadable(world, rank):
    """One rank's disk lacks a file."""
    together(world, lambda: world.rank == rank and open("/no/such/file"))


def memory(world, rank):
    """One rank has no room for the moments of all; a whole state is there again later."""

    def take():
        if world.rank == rank:
            raise MemoryError
        return ["a place"]

    try:
        memory_for(world, take)
    except CheckpointError as error:
        assert memory_for(world, lambda: ["a place"]) == ["a place"]
        raise agreed(error) from None


BEFORE = {"settings": settings, "refused": refused, "unreadable": unreadable, "memory": memory}


def main():
    trouble, rank, step = sys.argv[1], *map(int, sys.argv[2:4])
    with joined("numpy") as world:
        if trouble in BEFORE:
            BEFORE[trouble](world, rank)
        told = world.gather(train(world, trouble, rank, step))
    if world.rank == 0:
        print(json.dumps(told))


if __name__ == "__main__":
    try:
        main()
    except MinigptError as told_by_the_first:  # as minigpt's command line does
        print(told_by_the_first, file=sys.stderr)
        sys.exit(told_by_the_first.exit_code)
