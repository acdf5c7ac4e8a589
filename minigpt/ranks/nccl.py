"""Exchanges between GPUs, by NCCL (CuPy's binding): put in line on a stream of their own, never waited for.

Exchanged are the flat buffers and one number, which live as long as the run, or what is waited for at once:
CuPy's pool gives a temporary's memory away as soon as its own stream is done with it, while NCCL may still
read it.
"""

import contextlib
import importlib
import threading

from minigpt.arrays import use_gpu
from minigpt.errors import CommError
from minigpt.ranks.gpus import check_gpus, own_gpu
from minigpt.ranks.overdue import Overdue
from minigpt.ranks.overlap import Overlapping
from minigpt.ranks.seen import ANSWER

EXCHANGE = "exchange between GPUs"
TYPES = {"float32": "NCCL_FLOAT32", "float64": "NCCL_FLOAT64"}


class NCCLWorld(Overlapping):
    """One process a GPU, of this or many machines."""

    def __init__(self, place, line, sharded=False):
        self.rank, self.size = place.rank, place.size
        self.local_rank, self.local_size = place.local_rank, place.local_size
        self.line, self.sharded = line, sharded
        self.gather, self.at, self.doing = line.gather, line.at, line.doing
        self.cupy = use_gpu(self.local_rank)  # before any other call
        self.nccl = library()
        self.ranks, self._asking, self.overdue = None, threading.Lock(), Overdue(ANSWER)
        line.watch(self._check)
        with line.within("meeting of NCCL"):
            check_gpus(self.gather(own_gpu(self.cupy)), self.nccl.get_version())
            unique = unique_id(self.nccl, self.rank, self.gather)
            with self.overdue.calling():
                self.ranks = self.nccl.NcclCommunicator(self.size, unique, self.rank)
        self.stream = self.cupy.cuda.Stream(non_blocking=True)
        self.number = {name: self.cupy.zeros(1, name) for name in TYPES}
        self.ready, self.done = (self.cupy.cuda.Event(disable_timing=True) for _ in range(2))
        self.overdue.event = self.done

    def mean(self, number):
        """The mean of a number over ranks, by way of a place that stays, and is needed for the next one."""
        place = self.number[number.dtype.name]
        place[0] = number
        return self.all_reduce(place)[0].copy()

    def all_reduce(self, array):
        """The mean over ranks, in place.

        array (P) -> array (P)
        """
        self.start([array])
        self.finish()
        return array

    def start(self, arrays):
        """Put the means of arrays in line, behind what has been launched until now."""
        with self._exchange():
            for array in arrays:
                self.ranks.allReduce(*self._message(array), self.nccl.NCCL_AVG, self.stream.ptr)

    def finish(self):
        """What is launched from now on waits for what was started; this program does not."""
        self.done.record(self.stream)
        self.overdue.begin()
        self.cupy.cuda.get_current_stream().wait_event(self.done)

    def reduce_scatter(self, array):
        """This rank's shard of the mean, in its place. Shards may differ in length: one reduction each.

        array (P) -> array (S)
        """
        with self._exchange():
            for root, part in self._parts(array):
                self.ranks.reduce(*self._message(part), self.nccl.NCCL_AVG, root, self.stream.ptr)
        self.finish()
        return array[self.shard(array.size)]

    def all_gather(self, shard, into):
        """Every rank's shard in its place.

        shard (S), into (P) -> into (P)
        """
        own = into[self.shard(into.size)]
        if own.data.ptr != shard.data.ptr:
            own[...] = shard
        with self._exchange():
            for root, part in self._parts(into):
                self.ranks.broadcast(*self._message(part), root, self.stream.ptr)
        self.finish()
        return into

    def broadcast(self, array, root=0):
        """One rank's array.

        array (P) -> array (P)
        """
        with self._exchange():
            self.ranks.broadcast(*self._message(array), root, self.stream.ptr)
        self.finish()
        return array

    @contextlib.contextmanager
    def _exchange(self):
        """Calls that NCCL carries out together, after what the computing stream has been given."""
        self.ready.record(self.cupy.cuda.get_current_stream())
        self.stream.wait_event(self.ready)
        with self.overdue.calling():  # NCCL connects ranks in their first exchange: it may wait for them
            self.nccl.groupStart()
            try:
                yield
            finally:
                self.nccl.groupEnd()

    def _parts(self, array):
        parts = ((rank, array[self.shard_of(rank, array.size)]) for rank in range(self.size))
        return [(rank, part) for rank, part in parts if part.size]

    def _message(self, array):
        """From where, to where (in place), how many, and of which type."""
        return array.data.ptr, array.data.ptr, array.size, getattr(self.nccl, TYPES[array.dtype.name])

    def _check(self):
        """Asked every second, from another thread: what has failed on the way? "" is nothing."""
        with self._asking:
            use_gpu()  # a thread begins with the first GPU
            try:
                if self.ranks:
                    self.ranks.check_async_error()
            except self.nccl.NcclError as error:
                return f"{error}; NCCL_DEBUG=INFO says more"
            if not self.overdue():
                return ""
        self.line.wait_in(EXCHANGE)
        return f"CommError: step {self.line.step}, {EXCHANGE}: not every rank has come within {ANSWER:g} s"

    def close(self):
        """Take leave, after all that is in line."""
        self.stream.synchronize()
        with self._asking:
            ranks, self.ranks = self.ranks, None
        ranks.destroy()
        self.line.close()


def library():
    """CuPy's binding of NCCL, which `import cupy` does not bring. Raises CommError if there is no NCCL."""
    nccl = importlib.import_module("cupy.cuda.nccl")
    if not nccl.available:
        raise CommError("ranks on GPUs: expected NCCL, CuPy finds none; pip install 'minigpt[cupy]'")
    return nccl


def unique_id(nccl, rank, gather):
    """The 128 bytes by which ranks find each other: made on rank 0, the same on all."""
    return bytes.fromhex(gather(nccl.get_unique_id().hex() if rank == 0 else "")[0])
