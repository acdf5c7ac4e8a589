"""What processes that share memory say to each other in a step: numbers go as lines, gradients lie there."""

import json

from minigpt.comm import World


class Neighbours(World):
    """Ranks that see each other's gradients. All lines lead to rank 0, which tells everybody of all.

    weights: of each rank's mean over its targets in the mean over all of them.
    """

    sharded = True  # each moves its share of the one model that they have in common

    def __init__(self, rank, lines, grads, weights):
        self.rank = self.local_rank = rank
        self.size = self.local_size = len(weights)
        self.lines, self.grads, self.weights = lines, grads, weights
        self.moving = False  # whether parameters may be partly old, partly new

    def gather(self, value):
        """What every rank gives, in their order, exactly."""
        if self.rank:
            say(self.lines[0], value)
            return hear(self.lines[0])
        told = [value, *map(hear, self.lines)]
        for line in self.lines:
            say(line, told)
        return told

    def mean(self, number):
        """The mean over all targets of a number that is each rank's mean over its own."""
        return sum(weight * one for weight, one in zip(self.weights, self.gather(float(number)), strict=True))

    def whole_norm(self, norm):
        """Squares of disjoint parts add up."""
        return sum(one * one for one in self.gather(float(norm))) ** 0.5

    def agree(self, verdict):
        """The worst of all; if it is for the step, ranks move from here to all_gather."""
        verdict = super().agree(verdict)
        self.moving = verdict.accepted
        return verdict

    def reduce_scatter(self, array):
        """This rank's shard of the mean, in the place that rank 0's gradient had.

        array (P) -> array (S)
        """
        self.barrier()  # every gradient is there
        own = self.shard(array.size)
        mean = self.grads[0][own]
        mean *= self.weights[0]
        for grads, weight in zip(self.grads[1:], self.weights[1:], strict=False):
            mean += weight * grads[own]
        return mean

    def all_gather(self, shard, into):
        """Everybody's parameters, which lie in their places already.

        shard (S), into (P) -> into (P)
        """
        self.barrier()
        self.moving = False
        return into


def say(line, value):
    """Send a value as a line of JSON."""
    line.write(json.dumps(value).encode() + b"\n")
    line.flush()


def hear(line):
    """The value in the next line. EOFError if the other end is closed."""
    if text := line.readline():
        return json.loads(text)
    raise EOFError("nobody is at the other end")
