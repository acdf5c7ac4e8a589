"""The time of an optimizer step on many ranks: compute, what of the exchange nothing hides, the update."""

import dataclasses

from minigpt.flops import llmc_flops_per_token
from minigpt.planning.compute import BACKWARD, WIDTHS, micro_step_seconds, params, update_seconds
from minigpt.planning.exchange import all_reduce_seconds, scatter_seconds


@dataclasses.dataclass(frozen=True)
class Plan:
    """How ranks train: what is exchanged, and by which way.

    zero: 0, every rank updates all; 1, its own shard. gradients: number type in which they are exchanged.
    most: windows in a micro-batch at most.
    """

    most: int
    zero: int = 0
    gradients: str = "float32"
    way: str = "nccl"
    context: int = 1024


@dataclasses.dataclass(frozen=True)
class Step:
    """Seconds of one step and its parts; batch x parts windows a rank."""

    ranks: int
    batch: int
    parts: int
    tokens: int
    compute: float
    exposed: float
    update: float
    seconds: float


def step(config, machine, share, ranks, rows, plan):
    """A step of rows windows in all; None if they cannot be shared out evenly, a window a rank at least."""
    if rows % ranks:
        return None
    own = rows // ranks
    batch = max(b for b in range(1, min(own, plan.most) + 1) if own % b == 0)
    micro = micro_step_seconds(config, batch * plan.context, machine, share, plan.context)
    compute = own // batch * micro
    exposed = exposed_seconds(*timeline(config, machine, ranks, micro, plan))
    update = update_seconds(config, machine, plan.gradients, ranks if plan.zero else 1)
    if plan.zero:  # what the update has made is wanted by the next forward: nothing hides the gathering
        size = params(config) * WIDTHS[plan.gradients]
        exposed += scatter_seconds(size, ranks, machine, plan.way)
    seconds = compute + exposed + update
    return Step(ranks, batch, own // batch, rows * plan.context, compute, exposed, update, seconds)


def timeline(config, machine, ranks, micro, plan):
    """Of the last micro-step's backward: when each bucket is ready, how long it takes; when backward ends.

    A bucket a layer, the last layer's first. The tied token table gets its last part when backward ends, and
    goes out then, with all else that is outside the blocks.
    """
    exchange = scatter_seconds if plan.zero else all_reduce_seconds
    head = 6 * config.n_vocab * config.n_embd / llmc_flops_per_token(config, plan.context)
    end, L = BACKWARD * micro, config.n_layer
    ready = [end * (head + (1 - head) * (place + 1) / L) for place in range(L)] + [end]
    block = 12 * config.n_embd**2 + 13 * config.n_embd  # parameters
    sizes = [block] * L + [params(config) - L * block]
    width = WIDTHS[plan.gradients]
    return ready, [exchange(n * width, ranks, machine, plan.way) for n in sizes], end


def exposed_seconds(ready, durations, end):
    """How long after backward's end the last bucket arrives, when they go out one after another."""
    done = 0.0
    for at, takes in zip(ready, durations, strict=True):
        done = max(done, at) + takes
    return done - end
