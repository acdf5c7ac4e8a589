"""PAGE 1. One optimizer step, from tokens to new weights."""

from typing import NamedTuple

import numpy as np

from minigpt import guard
from minigpt.arrays import Flat
from minigpt.guard import Window
from minigpt.model import backward, forward
from minigpt.optim import learning_rate


class State(NamedTuple):
    """What a step turns into its successor. All buffers share one layout; with ZeRO-1 moments are a shard."""

    step: int  # steps done: the place in the data and on the schedule
    updates: int  # those that were accepted: AdamW's own count
    params: Flat
    first: np.ndarray  # AdamW's running mean of the gradient
    second: np.ndarray  # and of its square
    grads: Flat  # room for the next gradient
    guard: Window = Window()  # what a spike is measured against


class Report(NamedTuple):
    """What a step tells the loop around it."""

    loss: float  # nats a token, before the update
    norm: float  # of the whole gradient, before clipping
    lr: float
    verdict: guard.Verdict


def train_step(config, optimizer, ops, world, state, batches):
    """One optimizer step on a global batch, given in parts. Every line below is one file to read next."""
    loss, grads = 0.0, state.grads
    weights = ops.weights(state.params)  # kernels/: as they are, or on a GPU a copy in bfloat16
    for i, (tokens, targets) in enumerate(batches):  # data.py
        logits, tape = forward(config, ops, weights, tokens)  # model.py -> ops/
        micro_loss, cache = ops.cross_entropy_forward(logits, targets)  # ops/cross_entropy.py
        dlogits = ops.cross_entropy_backward(1 / len(batches), cache)
        stream = backward(config, ops, dlogits, tape)  # model.py: forward, mirrored; runs as collect asks
        if i + 1 == len(batches):
            stream = world.sending(stream, grads)  # comm.py: blocks that are done are on their way
        grads = ops.collect(stream, into=grads, add=i > 0)
        loss = loss + micro_loss / len(batches)
        del logits, dlogits, cache  # the next micro-batch's logits need their room

    loss, mean_grads = world.mean(loss), world.mean_gradient(grads)  # comm.py: all-reduce
    norm = world.whole_norm(ops.global_norm(mean_grads))  # optim.py
    lr = learning_rate(state.step, optimizer)  # optim.py
    known = float(loss), float(norm)  # here, and nowhere else, a GPU is waited for
    verdict = world.agree(guard.judge(state.guard, *known, optimizer.spike_guard))  # guard.py
    state = state._replace(step=state.step + 1, guard=guard.after(state.guard, verdict, *known))
    if verdict.accepted:
        state = update(ops, optimizer, world, state, mean_grads, norm, lr)  # optim.py: AdamW
    return state, Report(*known, lr, verdict)


def update(ops, optimizer, world, state, mean_grads, norm, lr):
    """The state after AdamW has moved every parameter along the clipped gradient.

    With ZeRO-1 mean_grads, first and second are this rank's shard, and each rank moves its own.
    """
    buffer = state.params.buffer
    shard = world.shard(buffer.size)
    n_decayed = buffer.size if optimizer.decay_all else state.params.n_decayed
    params, first, second = ops.adamw(
        buffer[shard],
        mean_grads,
        state.first,
        state.second,
        step=state.updates + 1,
        scale=ops.clip_scale(norm, optimizer.clip),
        n_decayed=min(max(n_decayed - shard.start, 0), mean_grads.size),
        lr=lr,
        betas=optimizer.betas,
        eps=optimizer.eps,
        weight_decay=optimizer.weight_decay,
    )
    params = state.params.like(world.whole(params, buffer))
    return state._replace(updates=state.updates + 1, params=params, first=first, second=second)


def new_state(params):
    """The state before the first step: nothing done, no momentum."""
    first, second, grads = (np.zeros_like(params.buffer) for _ in range(3))
    return State(0, 0, params, first, second, params.like(grads))
