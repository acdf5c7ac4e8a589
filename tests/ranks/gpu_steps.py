"""Run as a rank: train on the stand-in for CuPy and NCCL in every way, and print what came out, as JSON."""

import json
import sys

from minigpt.comm import Alone
from minigpt.ranks import launchers
from minigpt.ranks.worlds import joined, met_alone
from tests.ranks.on_gpus import train
from tests.support.cuda import emulated_cupy, fake_runtime


def main():
    ask = json.loads(sys.argv[1])
    place = launchers.place()
    fake_runtime.Device.shown = ask["shown"]
    if place and ask["shown"] < place.size:  # each rank is shown another GPU
        fake_runtime.FIRST_BUS = 1 + place.rank
    with emulated_cupy():
        with met_alone("cupy") if place is None else joined("cupy") as world:
            told = {}
            for name, dtype, zero, parts in ask["ways"]:
                world.sharded = zero
                told[name] = world.gather(train(world, dtype, parts))
            told["gpus"] = world.gather(fake_runtime.Device.current)
        # for comparison, without exchanges
        told |= {f"Alone, {name}": [train(Alone(), dtype, parts)] for name, dtype, parts in ask["alone"]}
    if world.rank == 0:
        print(json.dumps(told))


if __name__ == "__main__":
    main()
