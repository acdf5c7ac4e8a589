"""PAGE 5. What ranks say to each other in a training step.

A rank is one process with a model of its own. Each works on its rows of the global batch; the mean of
their gradients is the whole batch's gradient, so all of them make the same step and stay equal, bit for bit.

With ZeRO-1 (Rajbhandari et al. 2019, arXiv:1910.02054) each rank keeps AdamW's two moments for its shard of
the parameters alone: the gradient's mean is made shard by shard, each rank moves its own parameters, and they
are put together. That sends as many bytes as an all-reduce, which is a reduce-scatter, then an all-gather.
"""

from minigpt.guard import worst


class World:
    """One rank alone, which has nobody to ask; and what every other world has to answer.

    ranks/mpi.py, between processes on cores, and ranks/nccl.py, between GPUs, replace the exchanges in the
    second half. Sizes (P) are those of the flat buffers, (S) of this rank's shard.
    """

    rank, size, local_rank, local_size = 0, 1, 0, 1
    sharded = False  # ZeRO-1

    # --- what a training step asks for -------------------------------------------------------------------

    def sending(self, gradients, into):
        """Hand on backward's stream of (name, gradient), and send what it has laid into a Flat meanwhile."""
        return gradients

    def mean(self, number):
        """The mean of a number over ranks."""
        return number

    def mean_gradient(self, grads):
        """The mean over ranks of a Flat, in its buffer; with ZeRO-1 this rank's shard alone.

        grads -> gradient (S)
        """
        if self.sharded:
            return self.reduce_scatter(grads.buffer)
        return self.all_reduce(grads.buffer)

    def whole_norm(self, norm):
        """The whole gradient's norm from that of this rank's shard: squares of disjoint parts add up."""
        return (self.size * self.mean(norm * norm)) ** 0.5 if self.sharded else norm

    def shard(self, n):
        """Which of n parameters this rank moves: all, or with ZeRO-1 its share."""
        return self.shard_of(self.rank, n) if self.sharded else slice(0, n)

    def shard_of(self, rank, n):
        """One of `size` almost equal shares of n, in packets of 4: a GPU moves 16 bytes at a time."""
        ends = [n * end // self.size // 4 * 4 for end in (rank, rank + 1)]
        return slice(ends[0], n if rank + 1 == self.size else ends[1])

    def whole(self, shard, buffer):
        """All parameters in their buffer, after each rank has moved its own."""
        if self.sharded:
            return self.all_gather(shard, buffer)
        return shard

    def agree(self, verdict):
        """The same verdict on every rank: the worst of all."""
        return worst(self.gather(verdict))

    # --- exchanges ---------------------------------------------------------------------------------------

    def all_reduce(self, array):
        """The mean over ranks of equally long arrays, in the array's place.

        array (P) -> array (P)
        """
        return array

    def reduce_scatter(self, array):
        """This rank's shard of the mean over ranks, in its place in the array.

        array (P) -> array (S)
        """
        return array

    def all_gather(self, shard, into):
        """Every rank's shard, each in its place.

        shard (S), into (P) -> into (P)
        """
        into[...] = shard
        return into

    def broadcast(self, array, root=0):
        """One rank's array, on every rank.

        array (P) -> array (P)
        """
        return array

    def gather(self, value):
        """What every rank gives, in their order: numbers, strings and lists of them, as JSON can say them."""
        return [value]

    def barrier(self):
        """Wait until every rank is here."""
        self.gather(None)

    def at(self, step):
        """Say at which step this rank is, for whoever asks why it does not answer."""

    def doing(self, what):
        """Say what this rank does between steps, as at does."""

    def close(self):
        """Take leave of the other ranks."""


Alone = World
