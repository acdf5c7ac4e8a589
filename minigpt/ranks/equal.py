"""Are all ranks the same? Asked before the first step of what they are to do, and later of their weights."""

import zlib

from minigpt.arrays import on_host
from minigpt.errors import CommError, ConfigError


def check_settings(world, settings):
    """Raise ConfigError on every rank if one is to train another model, on other data, or otherwise.

    settings: name -> value, of what must be the same.
    """
    told = world.gather({name: repr(value) for name, value in settings.items()})
    for rank, other in enumerate(told[1:], 1):
        names = [name for name in told[0] if other.get(name) != told[0][name]]
        if names:
            differences = "; ".join(f"{name}: {told[0][name]} and {other.get(name)}" for name in names)
            raise agreed(ConfigError(f"ranks 0 and {rank} differ in {differences}: give all ranks the same"))


def check_weights(world, step, params):
    """Raise CommError on every rank if one's parameters differ from rank 0's in a single bit.

    params: a Flat.
    """
    told = world.gather(zlib.crc32(on_host(params.buffer).view("u1")))
    if len(set(told)) == 1:
        return
    told = world.gather([zlib.crc32(on_host(array).tobytes()) for array in params.values()])
    for rank, other in enumerate(told[1:], 1):
        for name, mine, his in zip(params, told[0], other, strict=True):
            if mine != his:
                raise agreed(
                    CommError(
                        f"step {step}: {name} of rank {rank} is not rank 0's any more: one of them computes "
                        f"wrongly (memory, GPU, network); resume from a checkpoint without that machine"
                    )
                )


def agreed(error):
    """An error that every rank raises at once: rank 0 tells of it for all."""
    error.agreed = True
    return error
