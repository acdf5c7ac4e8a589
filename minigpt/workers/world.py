"""What processes that share memory say to each other in a step: numbers go as lines, gradients lie there."""

from minigpt.comm import World
from minigpt.guard import worst


class Neighbours(World):
    """Ranks that see each other's gradients. All lines lead to rank 0, which tells everybody of all.

    weights: of each rank's mean over its targets in the mean over all of them.
    """

    sharded = True  # each moves its share of the one model that they have in common

    def __init__(self, rank, lines, grads, weights):
        self.rank = self.local_rank = rank
        self.size = self.local_size = len(weights)
        self.lines, self.grads, self.weights = lines, grads[: len(weights)], weights
        self.moving = False  # whether this step's new parameters may be there in part

    def gather(self, value):
        """What every rank gives, in their order, exactly."""
        if self.rank:
            self.lines[0].say(value)
            return self.lines[0].hear()
        return self.tell(self.collect(value))

    def collect(self, value):
        """Rank 0 hears what every rank gives, and says nothing yet."""
        return [value, *(line.hear() for line in self.lines)]

    def tell(self, told):
        """Rank 0 tells everybody of all."""
        for line in self.lines:
            line.say(told)
        return told

    def mean(self, number):
        """The mean over all targets of a number that is each rank's mean over its own."""
        return sum(weight * one for weight, one in zip(self.weights, self.gather(float(number)), strict=True))

    def whole_norm(self, norm):
        """Squares of disjoint parts add up."""
        return sum(one * one for one in self.gather(float(norm))) ** 0.5

    def agree(self, verdict):
        """The worst verdict of all. Whoever hears of a good one moves weights."""
        if self.rank:
            return super().agree(verdict)
        told = self.collect(verdict)
        self.moving = worst(told).accepted
        return worst(self.tell(told))

    def reduce_scatter(self, array):
        """This rank's shard of the mean, in the place that rank 0's gradient had.

        array (P) -> array (S)
        """
        self.barrier()  # every gradient is there
        own = self.shard(array.size)
        mean, *others = (grads[own] for grads in self.grads)
        mean *= self.weights[0]
        for weight, gradient in zip(self.weights[1:], others, strict=True):
            mean += weight * gradient
        return mean

    def all_gather(self, shard, into):
        """Everybody's parameters, which lie in their places already.

        shard (S), into (P) -> into (P)
        """
        self.barrier()
        return into
