"""python -m minigpt.workers.worker FILE SOCKET: a worker, given descriptors of shared memory and its line."""

import contextlib
import socket
import sys

import numpy as np

from minigpt import kernels
from minigpt.arrays import Flat
from minigpt.config import GPTConfig, OptimizerConfig
from minigpt.model import param_shapes
from minigpt.train import State, train_step
from minigpt.workers.line import Line
from minigpt.workers.memory import Shared
from minigpt.workers.world import Neighbours


def main(file, line):
    """Make the steps that are asked for, until nobody is left to ask."""
    line = Line(socket.socket(fileno=line))
    with contextlib.suppress(EOFError, ConnectionError):
        about = line.hear()
        config = GPTConfig(**about["config"])
        shapes = param_shapes(config)
        shared = Shared(Flat.zeros(shapes).buffer.size, about["size"], file)
        ops = kernels.table("fast", "float32", threads=1)
        # what is not finite is for the guard to judge
        with np.errstate(all="ignore"), ops.session():
            line.say("ready")
            while True:
                order = line.hear()
                world = Neighbours(about["rank"], [line], shared.grads, order["weights"])
                batches = np.frombuffer(line.data(order["bytes"]), np.int64).reshape(order["shape"])
                state = state_of(shared, shapes, world, order["step"], order["updates"])
                train_step(config, OptimizerConfig(**order["optimizer"]), ops, world, state, batches)


def state_of(shared, shapes, world, step, updates):
    """A rank's view of the state: all parameters, its gradient, its share of the moments. P -> S numbers."""
    own = world.shard(shared.params.size)
    params, grads = Flat(shapes, shared.params), Flat(shapes, shared.grads[world.rank])
    return State(step, updates, params, shared.first[own], shared.second[own], grads)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
