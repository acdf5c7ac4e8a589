"""Run as a rank on the stand-in for NCCL: the last rank waits for something else, the others for it."""

import time

from minigpt.ranks.worlds import joined
from tests.support.cuda import emulated_cupy, fake_runtime


def main():
    fake_runtime.Device.shown = 2
    with emulated_cupy(), joined("cupy") as world:
        array = world.cupy.zeros(4, "float32")
        world.at(1)
        world.all_reduce(array).get()
        world.at(2)
        if world.rank == world.size - 1:
            world.doing("saving")
            time.sleep(60)
        world.all_reduce(array).get()


if __name__ == "__main__":
    main()
