"""A shuffled order in which any place can be asked for alone: no list of it is ever made.

Only whole numbers and shifts, none of NumPy's generators: the order is the same on every machine and version.
"""

import functools

ROUNDS = 32  # after one, half of all places have not moved yet; after 32, one of 2**32
WORD = 2**64 - 1


def shuffled(place, n, key):
    """Which of range(n) stands at a place of the order that key stands for, key being any whole number.

    The order is made in rounds, by swapping. A round draws a number s, which pairs every x with

        partner(x) = (s - x) mod n

    and a fair coin for every pair, which says whether the two change places. It is a permutation because
    partner(partner(x)) = s - (s - x) = x: all numbers fall into pairs (or stand alone, where x is its own
    partner), a swap within pairs takes no two numbers to one place, and neither do swaps one after another.

    It is a fair one because s is as likely to be any number: a single swap takes x anywhere, and a round
    in which the coins of x and y differ takes the two anywhere independently of each other. Thirty-two
    rounds without a swap of x, or with equal coins for x and y, are as likely as 32 heads in a row.

    "Swap-or-not" of Hoang, Morris and Rogaway 2012 (arXiv:1208.1176).
    """
    for s, coins in rounds(n, key):
        partner = (s - place) % n
        if mixed(coins ^ max(place, partner)) & 1:
            place = partner
    return place


@functools.lru_cache(maxsize=64)
def rounds(n, key):
    """What each round of an order draws: s, and a number that its coins are made from."""
    start = mixed(key)
    draws = [mixed(start ^ i) for i in range(2 * ROUNDS)]
    return [(s % n, coins) for s, coins in zip(draws[::2], draws[1::2], strict=True)]


def key_of(*numbers):
    """One key from some whole numbers, such as a seed and an epoch; their order counts."""
    key = 0
    for number in numbers:
        key = mixed(key ^ mixed(number + 1))
    return key


def mixed(x):
    """64 bits in which every bit of a whole number has had its say (splitmix64; Steele et al. 2014)."""
    x = x * 0x9E3779B97F4A7C15 & WORD
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & WORD
    x = (x ^ x >> 27) * 0x94D049BB133111EB & WORD
    return x ^ x >> 31
