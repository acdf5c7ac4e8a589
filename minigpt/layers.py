"""How strongly each part of a model is pulled, how large it is and how far a step moved it: three lengths.

All are worked out from what a step leaves behind (gradient, moments, weights): the step itself knows nothing
of it, and no copy of the weights is needed.
"""

import numpy as np

from minigpt.arrays import device_of, on_host

PACKET = {"numpy": 2**16, "cupy": 2**22}  # numbers at a time: a cache's worth, few launches
QUANTITIES = ("gradient", "weights", "update")


def lengths(trainer, lr):
    """part -> [length of its gradient before clipping, of its weights, of its last update].

    A part is what shares a name: h.0.attn.c_attn is weight and bias. With ZeRO-1 every rank must ask, as each
    knows its shard alone; else one rank knows it all. lr: the last step's, which must have been accepted.
    """
    state, world = trainer.state, trainer.world
    squares = sums_of_squares(state, trainer.optimizer, lr, world.shard(state.params.buffer.size))
    if world.sharded:
        squares = np.sum(world.gather(squares.tolist()), axis=0)  # shards are disjoint
    found = {}
    for name, three in zip(state.params.places, squares, strict=True):
        part = name.rpartition(".")[0]
        found[part] = found.get(part, 0.0) + three
    return {part: [float(length) for length in found[part] ** 0.5] for part in parts_of(state.params)}


def noted(step, every):
    """Whether a step is noted: the first, and one of every so many; 0 is never."""
    return every > 0 and (step == 1 or step % every == 0)


def parts_of(names):
    """Parameters' names without weight and bias, in the model's order."""
    return list(dict.fromkeys(name.rpartition(".")[0] for name in names))


def sums_of_squares(state, optimizer, lr, shard):
    """For each tensor, as the buffers have them, those of its gradient, weights and update within a shard.

    -> sums (tensors, 3), in this machine's memory
    """
    params, places = state.params, list(state.params.places.values())
    n_decayed = params.buffer.size if optimizer.decay_all else params.n_decayed
    rows, found = [], []
    for row, place in enumerate(places):
        for packet in packets(place, shard, PACKET[device_of(params.buffer)]):
            own = slice(packet.start - shard.start, packet.stop - shard.start)
            weights, moments = params.buffer[packet], (state.first[own], state.second[own])
            decay = optimizer.weight_decay if packet.start < n_decayed else 0.0
            moved = update_of(weights, *moments, state.updates, optimizer, lr, decay)
            vectors = state.grads.buffer[packet], weights, moved
            found += [(x * x).sum(dtype="float64").reshape(1) for x in vectors]
            rows.append(row)
    sums = np.zeros((len(places), len(QUANTITIES)))
    if found:  # a GPU is waited for here, once
        np.add.at(sums, rows, on_host(np.concatenate(found)).reshape(-1, len(QUANTITIES)))
    return sums


def packets(place, shard, size):
    """The part of a place that lies in a shard, in slices of at most size numbers.

    place=slice(2, 9), shard=slice(0, 8), size=4 -> slice(2, 6), slice(6, 8)
    """
    stop = min(place.stop, shard.stop)
    for start in range(max(place.start, shard.start), stop, size):
        yield slice(start, min(start + size, stop))


def update_of(weights, first, second, step, optimizer, lr, decay):
    """What AdamW's last step took from the weights, from what it has left.

        pull   = mean / (sqrt(square) + eps)            as in optim.adamw
        before = weights + lr * pull + lr * decay * before
        update = before - weights = lr * (pull + decay * weights) / (1 - lr * decay)

    weights (P), first (P), second (P) -> update (P)
    """
    beta1, beta2 = optimizer.betas
    mean = first / (1 - beta1**step)
    square = second / (1 - beta2**step)
    pull = mean / (square**0.5 + optimizer.eps)
    if not decay:
        return lr * pull
    return lr / (1 - lr * decay) * (pull + decay * weights)
