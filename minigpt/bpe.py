"""Byte-pair encoding of lists of ids (Sennrich et al. 2016, arXiv:1508.07909).

learn() finds merges in words; steps() shows how they are used on one, apply() does it fast. A merge is a pair
of ids that becomes a new id: ids below 256 are bytes, 256 is the first merge, and so on. Where words begin
and end is the tokenizer's business.
"""

import heapq
from collections import defaultdict
from itertools import pairwise

FIRST_MERGE = 256


def learn(words, n_merges):
    """Merge the most frequent pair of neighbours everywhere, then the most frequent pair of what is left, ...

    words maps each word to how often it occurs; a pair lies within one word. Of equally frequent pairs the
    one with the smaller ids goes first. Returns fewer than n_merges if no pair is left that occurs twice.

    words={(1, 2, 3): 5, (1, 2): 1}, n_merges=2 -> [(1, 2), (256, 3)]
    """
    corpus, merges = Corpus(words), []
    while len(merges) < n_merges and (pair := corpus.most_frequent_pair()):
        corpus.merge(pair, FIRST_MERGE + len(merges))
        merges.append(pair)
    return merges


def merge(ids, pair, new):
    """Put the new id in place of each such pair, from left to right.

    ids=[1, 2, 3, 1, 2], pair=(1, 2), new=4 -> [4, 3, 4]
    ids=[1, 1, 1], pair=(1, 1), new=4 -> [4, 1]
    """
    left, right = pair
    merged, place, last = [], 0, len(ids) - 1
    while place <= last:
        if ids[place] == left and place < last and ids[place + 1] == right:
            merged.append(new)
            place += 2
        else:
            merged.append(ids[place])
            place += 1
    return merged


class Corpus:
    """Words, and how often each pair occurs in them, kept up to date: a merge visits only words it changes.

    For words, not for texts: each visit rewrites the whole word.
    """

    def __init__(self, words):
        self.words = [list(word) for word in words]
        self.word_counts = list(words.values())
        self.pair_counts = defaultdict(int)
        self.homes = defaultdict(set)  # pair -> places in self.words; stays when a word loses the pair
        for place, word in enumerate(self.words):
            self.count_pairs(word, place)
        self.queue = [(-count, pair) for pair, count in self.pair_counts.items()]
        heapq.heapify(self.queue)

    def count_pairs(self, word, place):
        """Count the pairs of a word that came to a place."""
        for pair in pairwise(word):
            self.pair_counts[pair] += self.word_counts[place]
            self.homes[pair].add(place)

    def uncount_pairs(self, word, place):
        """Forget the pairs of a word that left its place."""
        for pair in pairwise(word):
            self.pair_counts[pair] -= self.word_counts[place]

    def most_frequent_pair(self):
        """The pair to merge next; None when none is left that occurs twice.

        A merge makes pairs with its new id and breaks others, so a pair's count is highest when it enters the
        queue: the queue holds upper bounds. The first pair whose bound is its count beats all behind it.
        """
        while self.queue:
            bound, pair = self.queue[0]
            count = self.pair_counts[pair]
            if count == -bound:
                return pair if count >= 2 else None
            heapq.heapreplace(self.queue, (-count, pair))
        return None

    def merge(self, pair, new):
        """Merge the pair in every word that has it, and queue the pairs that this makes."""
        made = set()
        for place in self.homes.pop(pair):
            old = self.words[place]
            word = self.words[place] = merge(old, pair, new)
            self.uncount_pairs(old, place)
            self.count_pairs(word, place)
            made.update(pair for pair in pairwise(word) if new in pair)
        for pair in made:
            heapq.heappush(self.queue, (-self.pair_counts[pair], pair))


def steps(ids, merges):
    """Merge the pair that was learned first, wherever it is; then the first of what is left; until none is.

    Yields each merged pair, and the ids after it. merges maps pairs to ids, earlier merges to smaller ones.

    ids=[1, 2, 2, 1, 2, 3], merges={(1, 2): 256, (256, 3): 257} -> (1, 2), [256, 2, 256, 3]
                                                                   (256, 3), [256, 2, 257]
    """
    while known := [pair for pair in pairwise(ids) if pair in merges]:
        first = min(known, key=merges.get)
        ids = merge(ids, first, merges[first])
        yield first, ids


def apply(ids, merges):
    """The ids after the last of steps(), in time that grows with their number and not with its square.

    ids=[1, 2, 2, 1, 2, 3], merges={(1, 2): 256, (256, 3): 257, (2, 2): 258} -> [256, 2, 257]

    Going over all ids for every merge would take n^2 steps. Here a pair is looked at when it arises: the ids
    are a linked list, and `places` keeps where each pair that can merge was seen. All pairs of a kind arise
    when the later of their two ids is made, from left to right: so each list of places is in order.
    """
    ids = [*ids, None]  # None: gone into the id on its left, or the end
    before, after = list(range(-1, len(ids) - 1)), list(range(1, len(ids) + 1))
    places = {}
    for place, pair in enumerate(pairwise(ids)):
        if pair in merges:
            places.setdefault(pair, []).append(place)
    queue = [(merges[pair], pair) for pair in places]
    heapq.heapify(queue)

    def see(place, pair):
        if pair in merges:
            if pair not in places:
                places[pair] = []
                heapq.heappush(queue, (merges[pair], pair))
            places[pair].append(place)

    while queue:
        new, (left, right) = heapq.heappop(queue)
        for place in places.pop((left, right)):
            follower = after[place]
            if ids[place] != left or ids[follower] != right:
                continue  # one of the two has gone into another merge
            ids[place], ids[follower] = new, None
            after[place] = follower = after[follower]
            before[follower] = place
            see(before[place], (ids[before[place]], new))
            see(place, (new, ids[follower]))
    return [token for token in ids if token is not None]
