"""learn and apply against the same said slowly: count everything again, look at everything again."""

import time
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigpt import bpe

FEW_IDS = st.integers(0, 3)  # few, so that pairs repeat, overlap and tie
WORDS = st.dictionaries(st.lists(FEW_IDS, max_size=8).map(tuple), st.integers(1, 5), max_size=8)


def learn_by_recounting(words, n_merges):
    """The definition of BPE, one sentence a line."""
    words, merges = [(list(word), count) for word, count in words.items()], []
    for new in range(256, 256 + n_merges):
        counts = Counter()
        for word, count in words:
            for pair in pairwise(word):
                counts[pair] += count
        if not counts or max(counts.values()) < 2:
            break
        best = min(pair for pair in counts if counts[pair] == max(counts.values()))
        words = [(replace_pair(word, best, new), count) for word, count in words]
        merges.append(best)
    return merges


def apply_by_rescanning(ids, merges):
    """As long as some neighbours can merge, merge the pair with the smallest id, everywhere."""
    while known := [pair for pair in pairwise(ids) if pair in merges]:
        first = min(known, key=merges.get)
        ids = replace_pair(ids, first, merges[first])
    return ids


def replace_pair(ids, pair, new):
    """Recursively: the first two ids are the pair, or the first one stays."""
    out = []
    while ids:
        if tuple(ids[:2]) == pair:
            out, ids = [*out, new], ids[2:]
        else:
            out, ids = [*out, ids[0]], ids[1:]
    return out


def numbered(merges):
    return {pair: 256 + rank for rank, pair in enumerate(merges)}


class CountingDict(dict):
    """Counts how often it is asked whether it has a key."""

    asked = 0

    def __contains__(self, key):
        self.asked += 1
        return super().__contains__(key)


def test_the_examples_in_the_docstrings():
    assert bpe.learn({(1, 2, 3): 5, (1, 2): 1}, 2) == [(1, 2), (256, 3)]
    assert bpe.merge([1, 2, 3, 1, 2], (1, 2), 4) == [4, 3, 4]
    assert bpe.merge([1, 1, 1], (1, 1), 4) == [4, 1]
    merges = {(1, 2): 256, (256, 3): 257, (2, 2): 258}
    assert bpe.apply([1, 2, 2, 1, 2, 3], merges) == [256, 2, 257]
    steps = [((1, 2), [256, 2, 256, 3]), ((256, 3), [256, 2, 257])]
    assert list(bpe.steps([1, 2, 2, 1, 2, 3], merges)) == steps


@pytest.mark.parametrize(
    ("words", "merges"),
    [
        ({}, []),
        ({(7,): 9}, []),  # no neighbours
        ({(1, 2): 1, (2, 1): 1}, []),  # no pair twice
        ({(1, 2): 1, (3, 1, 2): 1}, [(1, 2)]),  # twice, in two words
        ({(1, 2): 2, (0, 9): 2}, [(0, 9), (1, 2)]),  # equally frequent: smaller ids first
        ({(3, 1): 2, (3, 0): 2}, [(3, 0), (3, 1)]),
        ({(5, 5, 5, 5): 2}, [(5, 5), (256, 256)]),
    ],
)
def test_learn_by_hand(words, merges):
    assert bpe.learn(words, 10) == merges


@given(WORDS, st.integers(0, 12))
def test_learn_is_recounting(words, n_merges):
    assert bpe.learn(words, n_merges) == learn_by_recounting(words, n_merges)


@given(WORDS, st.lists(FEW_IDS, max_size=40))
def test_apply_is_rescanning(words, ids):
    merges = numbered(bpe.learn(words, 12))
    assert bpe.apply(ids, merges) == apply_by_rescanning(ids, merges)
    assert [ids, *(ids for _, ids in bpe.steps(ids, merges))][-1] == apply_by_rescanning(ids, merges)


@given(st.data(), st.lists(FEW_IDS, max_size=40))
def test_apply_is_rescanning_for_merges_that_no_text_taught(data, ids):
    pairs = []
    for new in range(4, 12):
        pairs.append(data.draw(st.tuples(st.integers(0, new - 1), st.integers(0, new - 1))))
    merges = {pair: 4 + rank for rank, pair in reversed(list(enumerate(pairs)))}
    assert bpe.apply(ids, merges) == apply_by_rescanning(ids, merges)


@given(WORDS)
def test_no_two_learned_ids_stand_for_the_same_bytes(words):
    spelled = {id: (id,) for id in range(4)}
    merges = bpe.learn(words, 20)
    for new, (left, right) in enumerate(merges, start=256):
        spelled[new] = spelled[left] + spelled[right]
    assert len(set(spelled.values())) == len(spelled) == 4 + len(merges)


def test_a_learned_word_becomes_one_id():
    word = tuple(range(20))
    merges = bpe.learn({word: 2}, 100)
    assert len(merges) == 19
    assert bpe.apply(word, numbered(merges)) == [256 + 18]


def test_learn_visits_few_words():
    """Every merge going over all words would be 40 * 200 = 8000 visits."""
    words = {(first, second, first): 2 for first in range(20) for second in range(20, 30)}
    visits = []
    merge = bpe.merge
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bpe, "merge", lambda *args: visits.append(args) or merge(*args))
        assert len(bpe.learn(words, 40)) == 40
    assert len(words) == 200
    assert 40 <= len(visits) <= 400


@pytest.mark.parametrize("unit", [[1], [1, 2], [3, 1, 2, 2, 1]])
def test_apply_asks_for_each_pair_when_it_arises_and_never_again(unit):
    """n - 1 pairs to begin with, two more for each of at most n - 1 merges."""
    n = 6000
    ids = unit * (n // len(unit))
    merges = CountingDict(numbered(bpe.learn({tuple(ids[:600]): 1}, 200)))
    out = bpe.apply(ids, merges)
    assert 1 <= len(out) < n / 50  # it had much to do
    assert merges.asked <= (n - 1) + 2 * (n - 1)


def test_forty_times_as_long_takes_about_forty_times_as_long():
    """n^2 steps would take 1600 times as long; the limit of 250 leaves room for a busy machine."""
    merges = numbered([(1, 1)] + [(id, id) for id in range(256, 270)])

    def seconds(n):
        started = time.process_time()
        assert sum(2 ** (id - 255) if id > 255 else 1 for id in bpe.apply([1] * n, merges)) == n
        return time.process_time() - started

    assert min(seconds(400_000) for _ in range(2)) < 250 * min(seconds(10_000) for _ in range(5))
