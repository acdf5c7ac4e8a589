"""Gradients are sent block by block, each when it is whole, all of the buffer once."""

import numpy as np
import pytest

from minigpt.arrays import Flat
from minigpt.comm import Alone
from minigpt.config import GPTConfig
from minigpt.kernels import table
from minigpt.model import backward, forward, init_params, param_shapes
from minigpt.ranks.overlap import Overlapping, buckets, merged

CONFIG = GPTConfig(3, 2, 8, 12, 37)


class Sent(Overlapping):
    """Keeps a copy of what was to be sent, when it was."""

    def __init__(self):
        self.messages = []

    def start(self, arrays):
        self.messages.append([(array.__array_interface__["data"][0], array.copy()) for array in arrays])

    def finish(self):
        pass


def test_buckets_are_the_blocks_and_cover_the_buffer_once():
    flat = Flat.zeros(param_shapes(CONFIG))
    for bucket in buckets(flat):
        for place in bucket.places:
            flat.buffer[place] += 1
    assert np.array_equal(flat.buffer, np.ones_like(flat.buffer))
    assert [len(bucket.places) for bucket in buckets(flat) if len(bucket.names) > 2] == [2, 2, 2]


def test_neighbours_are_merged():
    assert merged([slice(5, 7), slice(0, 2), slice(2, 5), slice(9, 10)]) == [slice(0, 7), slice(9, 10)]
    assert merged([slice(3, 4)]) == [slice(3, 4)]


@pytest.mark.parametrize("ops", ["reference", "fast"])
def test_each_bucket_is_sent_once_and_whole_while_the_blocks_below_are_still_to_come(ops):
    ops, params = table(ops, "float32", 1), init_params(CONFIG, 1)
    tokens = np.arange(24).reshape(2, 12)
    world, grads = Sent(), params.like(np.full_like(params.buffer, np.nan))
    with ops.session():
        logits, tape = forward(CONFIG, ops, params, tokens)
        _, tail = ops.cross_entropy_forward(logits, tokens)
        stream = backward(CONFIG, ops, ops.cross_entropy_backward(1.0, tail), tape)
        ops.collect(world.sending(stream, grads), into=grads, add=False)
    start = grads.buffer.__array_interface__["data"][0]
    covered = np.zeros(grads.buffer.size, int)
    for message in world.messages:
        for where, sent in message:
            place = slice((where - start) // 4, (where - start) // 4 + sent.size)
            assert np.array_equal(sent, grads.buffer[place]), "sent before it was whole"
            covered[place] += 1
    assert (covered == 1).all()
    # ln_f, three blocks, and the two tables, which are known last
    assert [len(message) for message in world.messages] == [1, 2, 2, 2, 1, 1]


def test_with_zero_1_nothing_is_sent_on_the_way():
    world = Sent()
    world.sharded = True
    assert list(world.sending(iter([("a", 1)]), None)) == [("a", 1)]
    assert world.messages == []


@pytest.mark.parametrize(("n", "size"), [(1796, 3), (5, 4), (128, 4), (1, 2)])
def test_shards_are_disjoint_and_whole(n, size):
    world = Alone()
    world.size = size
    covered = np.zeros(n, int)
    for rank in range(size):
        covered[world.shard_of(rank, n)] += 1
    assert (covered == 1).all()
