"""A model and its optimizer, held together: one call is one training step."""

import dataclasses
from functools import partial

import numpy as np

from minigpt import kernels
from minigpt.arrays import Flat, device_of, on_device, on_host
from minigpt.comm import Alone
from minigpt.config import OptimizerConfig
from minigpt.door import checked_batches, checked_params, compute_dtype, flat_copy
from minigpt.errors import CheckpointError, ConfigError, NumericsError
from minigpt.kernels.cpu.memory import give_freed_memory_back
from minigpt.kinds import Array
from minigpt.memory import explained
from minigpt.train import new_state, train_step
from minigpt.workers.step import share


class Trainer:
    """trainer = Trainer(config, params); loss = trainer.step(tokens, targets); trainer.params.

    params is copied. Keywords are OptimizerConfig's: lr, betas, eps, weight_decay, decay_all, clip,
    spike_guard, and for a schedule warmup, schedule, steps, final. ops and threads choose the kernels as in
    `logits`. world: the ranks that share a step (comm.World), None for this process alone.
    device: "numpy", or "cupy" for a GPU; None trains where params are. dtype: the number type of activations,
    "bfloat16" on a GPU alone; None takes that of params, in which parameters, moments and gradients stay.
    state: a State to go on from, the one of params, which is then kept and changed, not copied, but for a
    small model's, which is moved to memory that processes share (workers/; threads=1 does without).
    tf32: on a GPU in float32, products may cut their factors to 10 bits of fraction. products: "cublas" or
    "cublaslt"; attention: "tiles", "scores" or "cudnn": who does them on a GPU, see kernels.table.
    """

    def __init__(
        self,
        config,
        params,
        *,
        ops="fast",
        threads=None,
        world=None,
        state=None,
        device=None,
        dtype=None,
        tf32=False,
        products="cublas",
        attention="tiles",
        **optimizer,
    ):
        fields = [field.name for field in dataclasses.fields(OptimizerConfig)]
        if unknown := sorted(set(optimizer) - set(fields)):
            raise ConfigError(f"Trainer has no {', '.join(unknown)}: expected some of {', '.join(fields)}")
        self.config, self.optimizer, self.world = config, OptimizerConfig(**optimizer), world or Alone()
        params = flat_copy(config, params) if state is None else checked_params(config, params)
        self.device = device_of(params.buffer) if device is None else device
        self.dtype = compute_dtype(dtype, params)
        self.ops = kernels.table(ops, self.dtype, threads, self.device, tf32, products, attention)
        ways = {"ops": self.ops.name, "products": products, "attention": attention}
        self.explained = partial(explained, config, self.dtype, self.device, **ways)
        self.restore(state or new_state(params))

    @property
    def params(self) -> Flat:
        """The current parameters, a mapping of names to arrays that later steps change."""
        return self.state.params

    def restore(self, state):
        """Go on from a whole state, taken to the device; of its moments, with ZeRO-1, this rank's shard."""
        if self.world.sharded:
            shard = self.world.shard(state.first.size)
            state = state._replace(first=state.first[shard].copy(), second=state.second[shard].copy())
            give_freed_memory_back()  # the other ranks' shares of the moments
        flats = {name: getattr(state, name) for name in ("params", "grads")}
        with self.explained():
            placed = {name: flat.like(on_device(flat.buffer, self.device)) for name, flat in flats.items()}
            placed |= {name: on_device(getattr(state, name), self.device) for name in ("first", "second")}
        self.state, self.train_step = state._replace(**placed), train_step
        share(self)  # among processes, if the model is small

    def whole_state(self):
        """The state with all moments; with ZeRO-1 every rank must ask for it, and rank 0 alone is given them.

        Raises CheckpointError on every rank where one has no memory for them.
        """
        state = self.state
        if not self.world.sharded:
            return state
        shards = [self.world.shard_of(rank, state.params.buffer.size) for rank in range(self.world.size)]
        *whole, room = memory_for(self.world, partial(places_for, self.world, state, shards))
        for moment, place in zip((state.first, state.second), whole, strict=True):
            put_together(self.world, moment, place, shards, room)
        return state._replace(first=whole[0], second=whole[1])

    def step(self, tokens: Array, targets: Array) -> float:
        """One optimizer step on one batch; the loss before it, in nats a token.

        tokens, targets: integers (B, T), -1 in targets is not scored. Raises DataError, and
        NumericsError when the guard refuses the step, as loss or gradient is not finite, or leaps: then no
        weight and no moment has changed.
        """
        report = self.step_in_parts([(tokens, targets)])
        if not report.verdict.accepted:
            raise NumericsError(f"step {self.state.step} not applied: {report.verdict.reason}")
        return report.loss

    def step_in_parts(self, batches):
        """One optimizer step on several (tokens, targets), averaged; a Report, whatever its verdict."""
        self.world.at(self.state.step + 1)
        batches = checked_batches(self.config, batches)
        # what is not finite is for the guard to judge, in one line
        with np.errstate(all="ignore"), self.ops.session(), self.explained(batches):
            ready = [self.ops.upload(pair) for pair in batches]
            self.state, report = self.train_step(
                self.config, self.optimizer, self.ops, self.world, self.state, ready
            )
        return report


def places_for(world, state, shards):
    """Rank 0's arrays for two whole moments, None elsewhere; and room for one shard where the others are."""
    n, kind = state.params.buffer.size, state.first.dtype
    whole = [np.empty(n, kind) if world.rank == 0 else None for _ in range(2)]
    return *whole, np.empty_like(state.first, shape=max(place.stop - place.start for place in shards))


def memory_for(world, take):
    """What take() has room for, if every rank has it: none may wait for one that gave up."""
    try:
        places = take()
    except MemoryError:
        places = None
    without = [rank for rank, found in enumerate(world.gather(places is not None)) if not found]
    if without:
        raise CheckpointError(f"no memory is left on ranks {without} for the moments of all ranks")
    return places


def put_together(world, shard, whole, shards, room):
    """Lay every rank's shard into rank 0's array, in its machine's memory.

    One at a time is sent, by way of room, so that no GPU has to hold all.

    shard (S), whole (P) or None
    """
    for root, place in enumerate(shards):
        part = room[: place.stop - place.start]
        if root == world.rank:
            part[...] = shard
        world.broadcast(part, root)
        if world.rank == 0:
            whole[place] = on_host(part)
