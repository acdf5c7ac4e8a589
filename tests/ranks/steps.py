"""Run as a rank: train small models on streams of batches; rank 0 prints what came out on each, as JSON."""

import hashlib
import json
import sys

import numpy as np

from minigpt.config import GPTConfig
from minigpt.model import init_params
from minigpt.ranks.worlds import joined
from minigpt.trainer import Trainer


def parts_of(config, step, parts, rows, context):
    """A step's batches: the same global rows, cut into so many parts."""
    rng = np.random.default_rng([7, step])
    ids = rng.integers(0, config.n_vocab, (rows, context + 1))
    return [(part[:, :-1], part[:, 1:]) for part in np.split(ids, parts)]


def train(world, ask):
    """Losses, norms and the SHA-256 of the weights after some steps."""
    config = GPTConfig(*ask["config"])
    params = init_params(config, 0, ask["dtype"])
    trainer = Trainer(config, params, world=world, threads=1, ops=ask["ops"], clip=0.5)
    reports = []
    for step in range(ask["steps"]):
        parts = parts_of(config, step, ask["parts"], ask["rows"], ask["context"])
        share = len(parts) // world.size
        reports.append(trainer.step_in_parts(parts[world.rank * share :][:share]))
    state = trainer.whole_state()
    return {
        "losses": [report.loss for report in reports],
        "norms": [report.norm for report in reports],
        "params": hashlib.sha256(state.params.buffer.tobytes()).hexdigest(),
        "moments": moments(state) if world.rank == 0 or not world.sharded else [],  # rank 0's alone
        "sum": float(np.abs(state.params.buffer).sum()),
        "held": trainer.state.first.nbytes,
    }


def moments(state):
    """The sums of both."""
    return [float(np.abs(moment).sum()) for moment in (state.first, state.second)]


def main():
    """Each of the asks in turn."""
    answers = []
    for ask in json.loads(sys.argv[1]):
        with joined("numpy", ask["zero"]) as world:
            answers.append(world.gather(train(world, ask)))
    if world.rank == 0:
        print(json.dumps(answers))


if __name__ == "__main__":
    main()
