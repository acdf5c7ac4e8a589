"""A model and its optimizer, held together: one call is one training step."""

import dataclasses
from functools import partial

import numpy as np

from minigpt import kernels
from minigpt.arrays import device_of, on_device, on_host
from minigpt.comm import Alone
from minigpt.config import OptimizerConfig
from minigpt.door import checked_batches, checked_params, compute_dtype, flat_copy
from minigpt.errors import CheckpointError, ConfigError, NumericsError
from minigpt.memory import explained
from minigpt.train import new_state, train_step


class Uploaded(list):
    """A step's batches that need no more checks."""


class Trainer:
    """trainer = Trainer(config, params); loss = trainer.step(tokens, targets); trainer.params.

    params is copied. Keywords are OptimizerConfig's: lr, betas, eps, weight_decay, decay_all, clip, and
    for a schedule warmup, schedule, steps, final. ops and threads choose the kernels as in `logits`.
    device: "numpy", or "cupy" for a GPU; None trains where params are. dtype: the number type of activations,
    "bfloat16" on a GPU alone; None takes that of params, in which parameters, moments and gradients stay.
    state: a State to go on from, the one of params, which is then kept and changed, not copied.
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
    def params(self):
        """The current parameters, a mapping of names to arrays that later steps change."""
        return self.state.params

    def restore(self, state):
        """Go on from a whole state, taken to the device; of its moments, with ZeRO-1, this rank's shard."""
        if self.world.sharded:
            shard = self.world.shard(state.first.size)
            state = state._replace(first=state.first[shard].copy(), second=state.second[shard].copy())
        flats = {name: getattr(state, name) for name in ("params", "grads")}
        with self.explained():
            placed = {name: flat.like(on_device(flat.buffer, self.device)) for name, flat in flats.items()}
            placed |= {name: on_device(getattr(state, name), self.device) for name in ("first", "second")}
        self.state = state._replace(**placed)

    def whole_state(self):
        """The state with all moments; with ZeRO-1 every rank must ask for it, and rank 0 alone is given them.

        Raises CheckpointError on every rank where rank 0 has no memory for them.
        """
        state = self.state
        if not self.world.sharded:
            return state
        n = state.params.buffer.size
        places = memory_for(self.world, lambda: [np.empty(n, state.first.dtype) for _ in range(2)])
        for shard, place in zip((state.first, state.second), places, strict=True):
            put_together(self.world, shard, place, n)
        return state._replace(first=places[0], second=places[1])

    def step(self, tokens, targets):
        """One optimizer step on one batch; the loss before it, in nats a token.

        tokens, targets: integers (B, T), -1 in targets is not scored. Raises DataError, and
        NumericsError when loss or gradient is not finite: nothing but the step count has changed then.
        """
        report = self.step_in_parts([(tokens, targets)])
        if not report.verdict.accepted:
            raise NumericsError(f"step {self.state.step} not applied: {report.verdict.reason}")
        return report.loss

    def upload(self, batches):
        """Several (tokens, targets), checked, where the operations work; ahead of their step, if need be."""
        with self.ops.session():
            return Uploaded(map(self.ops.upload, checked_batches(self.config, batches)))

    def step_in_parts(self, batches):
        """One optimizer step on several (tokens, targets), averaged; a Report, whatever its verdict."""
        self.world.at(self.state.step + 1)
        ready = batches if isinstance(batches, Uploaded) else self.upload(batches)
        # what is not finite is for the guard to judge, in one line
        with np.errstate(all="ignore"), self.ops.session(), self.explained(ready):
            self.state, report = train_step(
                self.config, self.optimizer, self.ops, self.world, self.state, ready
            )
        return report


def memory_for(world, take):
    """What take() has room for on rank 0, None elsewhere; none may wait for one that gave up."""
    try:
        places = take() if world.rank == 0 else [None, None]
    except MemoryError:
        places = None
    if not all(world.gather(places is not None)):
        raise CheckpointError("no memory is left on rank 0 for the moments of all ranks")
    return places


def put_together(world, shard, whole, n):
    """Lay every rank's shard of n numbers into rank 0's array, in its machine's memory.

    One at a time is sent, so that no GPU needs room for all.

    shard (S), whole (P) or None
    """
    places = [world.shard_of(rank, n) for rank in range(world.size)]
    room = np.empty_like(shard, shape=max(place.stop - place.start for place in places))
    for root, place in enumerate(places):
        part = room[: place.stop - place.start]
        if root == world.rank:
            part[...] = shard
        world.broadcast(part, root)
        if world.rank == 0:
            whole[place] = on_host(part)
