"""Run as a rank on the stand-in for NCCL: the last rank waits for something else, the others for it.

python -m tests.ranks.gpu_hang exchange|call|meeting    where they wait
"""

import os
import sys
import time

from minigpt.ranks import nccl
from minigpt.ranks.worlds import joined
from tests.support.cuda import emulated_cupy, fake_nccl, fake_runtime


def slow(*_):
    time.sleep(60)


def main():
    fake_runtime.Device.shown = 2
    where = sys.argv[1]
    with emulated_cupy():
        if where == "meeting":
            nccl.unique_id = lambda _, rank, gather: gather("") and (slow() if rank else os.urandom(128))
        with joined("cupy") as world:
            array = world.cupy.zeros(4, "float32")
            world.at(1)
            world.all_reduce(array).get()
            world.at(2)
            if world.rank == world.size - 1:
                world.doing("saving")
                slow()
            if where == "call":
                fake_nccl.groupEnd = slow
            world.all_reduce(array).get()


if __name__ == "__main__":
    main()
