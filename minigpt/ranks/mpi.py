"""Exchanges between processes on cores, by MPI (mpi4py). Every one is begun, then asked whether it is done:
MPI's own waiting spins on a core that another rank may need, and for ever when a rank is dead.
"""

import atexit
import os
import time

import mpi4py
import numpy as np

mpi4py.rc.thread_level = "funneled"  # one thread of a rank speaks
mpi4py.rc.finalize = False  # it waits for every rank, also for one that is gone: see leave
from mpi4py import MPI  # noqa: E402

from minigpt.errors import CommError  # noqa: E402
from minigpt.ranks.overlap import Overlapping  # noqa: E402
from minigpt.ranks.seen import ANSWER  # noqa: E402

EAGER = 0.02  # seconds of asking without a pause; a pause may cost a large message its pace
PAUSE = 2e-4  # seconds between two questions after that


LONGEST = 512  # bytes of a text that is told before there is a line


def tell(text):
    """Rank 0's text, on every rank. It waits for all of them, for ever: see starting.py."""
    letters = np.frombuffer(text.encode()[:LONGEST].ljust(LONGEST), np.uint8).copy()
    request = MPI.COMM_WORLD.Ibcast(letters)
    while not request.Test():
        time.sleep(PAUSE)
    return letters.tobytes().decode().strip()


def leave():
    """Take leave of MPI at this process's end, as every rank is about to do."""
    atexit.unregister(MPI.Finalize)
    atexit.register(MPI.Finalize)


def abandon():
    """End without MPI, as other ranks may never come to its end."""
    atexit.unregister(MPI.Finalize)


class MPIWorld(Overlapping):
    """The ranks that mpiexec or srun started."""

    def __init__(self, place, line, sharded=False):
        self.mpi, self.line, self.sharded = MPI.COMM_WORLD, line, sharded
        self.rank, self.size = place.rank, place.size
        self.local_rank, self.local_size = place.local_rank, place.local_size
        self._begun = []
        self.gather, self.at, self.doing = line.gather, line.at, line.doing

    def mean(self, number):
        """The mean of a number over ranks, in its own precision."""
        return self.all_reduce(np.array([number]))[0]

    def all_reduce(self, array):
        """The mean over ranks, in place.

        array (P) -> array (P)
        """
        self.start([array])
        self.finish("all-reduce")
        return array

    def start(self, arrays):
        """Begin to add arrays up over all ranks, in place; what was begun before moves on a little."""
        MPI.Request.Testall([request for request, _ in self._begun])
        self._begun += [(self.mpi.Iallreduce(MPI.IN_PLACE, array, MPI.SUM), array) for array in arrays]

    def finish(self, exchange="all-reduce of the gradient"):
        """Wait for the sums, and make them means."""
        begun, self._begun = self._begun, []
        self._wait(exchange, [request for request, _ in begun])
        for _, array in begun:
            array /= self.size

    def reduce_scatter(self, array):
        """This rank's shard of the mean.

        array (P) -> array (S)
        """
        for root in range(self.size):  # one by one: MPI works in as much memory as it is given
            part = array[self.shard_of(root, array.size)]
            send, receive = (MPI.IN_PLACE, part) if root == self.rank else (part, None)
            request = self.mpi.Ireduce(send, receive, MPI.SUM, root)
            self._wait("reduce-scatter of the gradient", [request])
        own = array[self.shard(array.size)]
        own /= self.size
        return own

    def all_gather(self, shard, into):
        """Every rank's shard in its place.

        shard (S), into (P) -> into (P)
        """
        into[self.shard(into.size)] = shard
        counts = self._counts(into)
        self._wait("all-gather of the parameters", [self.mpi.Iallgatherv(MPI.IN_PLACE, (into, counts))])
        return into

    def broadcast(self, array, root=0):
        """One rank's array.

        array (P) -> array (P)
        """
        self._wait("broadcast", [self.mpi.Ibcast(array, root)])
        return array

    def _counts(self, array):
        places = [self.shard_of(rank, array.size) for rank in range(self.size)]
        return [place.stop - place.start for place in places]

    def _wait(self, exchange, requests):
        with self.line.within(exchange):
            start = time.monotonic()
            try:
                while not MPI.Request.Testall(requests):
                    waited = time.monotonic() - start
                    if waited > ANSWER:
                        where = f"step {self.line.step}, {exchange}"
                        raise CommError(f"{where}: not every rank has come within {ANSWER:g} s")
                    if waited < EAGER:
                        os.sched_yield()
                    else:
                        time.sleep(PAUSE)
            except MPI.Exception as error:
                time.sleep(5)  # the witness knows better which rank is gone, and ends this one meanwhile
                raise CommError(f"step {self.line.step}, {exchange}: {error}") from None

    def close(self):
        """Take leave."""
        self.line.close()
