"""The order is a permutation for every n and key, the same everywhere, and shows no pattern."""

from itertools import permutations
from math import factorial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigpt.shuffle import key_of, mixed, shuffled

keys = st.integers(0, 2**70)


def order(n, key):
    return [shuffled(place, n, key) for place in range(n)]


def surplus(counts, expected):
    """By how many of its standard deviations chi-square is too large."""
    counts = np.asarray(counts, float)
    chi_square = ((counts - expected) ** 2 / expected).sum()
    free = counts.size - 1
    return (chi_square - free) / (2 * free) ** 0.5


@given(n=st.integers(1, 100), key=keys)
def test_every_number_comes_once(n, key):
    assert sorted(order(n, key)) == list(range(n))


@given(n=st.integers(1, 2**60), key=keys, data=st.data())
def test_any_place_of_a_long_order_is_in_range_and_no_two_places_share_a_number(n, key, data):
    places = data.draw(st.lists(st.integers(0, n - 1), unique=True, max_size=10))
    numbers = [shuffled(place, n, key) for place in places]
    assert len(set(numbers)) == len(numbers)
    assert all(0 <= number < n for number in numbers)


def test_known_answers():
    """Another order would silently change what a resumed run reads."""
    assert mixed(1) == 0xE220A8397B1DCDAF  # the first output of splitmix64 from state 0
    assert [key_of(), key_of(0), key_of(0, 0), key_of(1, 2, 3)] == KEYS
    assert order(10, key_of(0, 0)) == TEN
    assert [shuffled(place, 10**12, 1) for place in range(3)] == LONG


KEYS = [0, 10505910081238556157, 2181001904997921236, 9362949679896299014]
TEN = [2, 6, 1, 5, 0, 4, 8, 7, 3, 9]
LONG = [390434074105, 891855836881, 502892097405]


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_small_orders_are_all_there_and_equally_often(n):
    trials = 30 * factorial(n)
    counts = dict.fromkeys(permutations(range(n)), 0)
    for epoch in range(trials):
        counts[tuple(order(n, key_of(7, epoch)))] += 1
    assert n == 1 or surplus(list(counts.values()), 30) < 4


@pytest.mark.parametrize("n", [7, 16])
@pytest.mark.parametrize("keys", ["epochs", "seeds", "shards", "plain numbers"])
def test_every_number_goes_everywhere_equally_often_for_consecutive_keys(n, keys):
    key = {
        "epochs": lambda i: key_of(0, i),
        "seeds": lambda i: key_of(i, 0),
        "shards": lambda i: key_of(3, 1, i),
        "plain numbers": lambda i: i,
    }[keys]
    orders = np.array([order(n, key(i)) for i in range(600)])  # (900, n)
    went = np.array([np.bincount(orders[:, place], minlength=n) for place in range(n)])  # place, number
    assert abs((((went - 600 / n) ** 2) / (600 / n)).sum() - (n - 1) ** 2) < 4 * (2 * (n - 1) ** 2) ** 0.5
    # neighbours, within an order, and at the same place in two orders one after another
    steps = (orders[:, 1:] - orders[:, :-1]) % n
    assert surplus(np.bincount(steps.ravel(), minlength=n)[1:], steps.size / (n - 1)) < 4
    changes = (orders[1:] - orders[:-1]) % n
    assert surplus(np.bincount(changes.ravel(), minlength=n), changes.size / n) < 4


def test_pairs_of_neighbours_are_all_equally_often():
    n, trials = 8, 1000
    pairs = np.zeros((n, n))
    for i in range(trials):
        numbers = order(n, key_of(0, i))
        np.add.at(pairs, (numbers[:-1], numbers[1:]), 1)
    assert pairs.trace() == 0
    assert surplus(pairs[~np.eye(n, dtype=bool)], trials * (n - 1) / (n * (n - 1))) < 4


def test_a_long_order_has_as_many_inversions_and_fixed_points_as_chance_gives():
    n = 1000
    numbers = np.array(order(n, key_of(5, 5)))
    inversions = sum(int((numbers[i + 1 :] < numbers[i]).sum()) for i in range(n))
    mean, deviation = n * (n - 1) / 4, (n * (n - 1) * (2 * n + 5) / 72) ** 0.5
    assert abs(inversions - mean) < 4 * deviation
    assert (numbers == np.arange(n)).sum() < 8  # one, on average
    assert (numbers == n - 1 - np.arange(n)).sum() < 8


def test_the_numbers_of_a_key_and_their_order_count():
    made = [key_of(*numbers) for numbers in permutations(range(5), 3)] + [key_of(0), key_of(0, 0), key_of()]
    assert len(set(made)) == 63
