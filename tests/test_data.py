"""Batches are a pure function of the step; an epoch, and a validation, reads every token once."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minigpt.data import batch, ordered_windows, window_count, window_of_row

sizes = st.integers(1, 7)
seeds = st.integers(0, 99)
orders = st.sampled_from(["shuffled", "sequential"])


@st.composite
def shards_and_context(draw):
    """Rows of ids, all different, at least one of which holds a window; and a context."""
    context = draw(sizes)
    lengths = draw(st.lists(st.integers(0, 40), min_size=1, max_size=5).filter(lambda n: max(n) > context))
    ids, starts = np.arange(sum(lengths), dtype=np.uint16), np.cumsum([0, *lengths])
    return [ids[start : start + length] for start, length in zip(starts, lengths, strict=False)], context


def rows_of(shards, steps, context, batch_size, parts, seed=0, order="shuffled"):
    """All rows of some steps, in order: tokens with the last target behind them."""
    shape = {"seed": seed, "context": context, "batch_size": batch_size, "rows_per_step": batch_size * parts}
    for step in range(steps):
        for part in range(parts):
            tokens, targets = batch(shards, step, part, order=order, **shape)
            assert tokens.shape == targets.shape == (batch_size, context)
            yield from np.concatenate([tokens, targets[:, -1:]], axis=1)


def windows_in(shards, context):
    """Every window by its definition: context + 1 tokens, beginning on the last of the window before."""
    return [
        ids[start : start + context + 1].tolist()
        for ids in shards
        for start in range(0, len(ids), context)
        if start + context < len(ids)
    ]


@given(text=shards_and_context(), seed=seeds, epochs=st.integers(1, 3))
def test_every_epoch_reads_every_window_once_shard_by_shard(text, seed, epochs):
    shards, context = text
    windows = windows_in(shards, context)
    rows = [row.tolist() for row in rows_of(shards, epochs * len(windows), context, 1, 1, seed)]
    for epoch in range(epochs):
        read = rows[epoch * len(windows) : (epoch + 1) * len(windows)]
        assert sorted(read) == windows
        ends = np.cumsum([len(ids) for ids in shards])
        turns = np.searchsorted(ends, [row[0] for row in read], side="right")
        assert (np.diff(turns) != 0).sum() == len(set(turns)) - 1  # a shard's turn comes once


@given(text=shards_and_context(), seed=seeds)
def test_the_sequential_order_reads_as_the_data_stands_epoch_after_epoch(text, seed):
    shards, context = text
    windows = windows_in(shards, context)
    rows = rows_of(shards, 2 * len(windows), context, 1, 1, seed, "sequential")
    assert [row.tolist() for row in rows] == windows + windows


@given(text=shards_and_context(), batch_size=sizes, parts=sizes, seed=seeds, order=orders)
def test_the_stream_of_rows_does_not_depend_on_how_steps_are_cut(text, batch_size, parts, seed, order):
    shards, context = text
    cut = list(rows_of(shards, 3, context, batch_size, parts, seed, order))
    one_by_one = list(rows_of(shards, len(cut), context, 1, 1, seed, order))
    np.testing.assert_array_equal(cut, one_by_one)


@given(text=shards_and_context(), ranks=sizes, batch_size=sizes, parts=sizes, seed=seeds)
def test_ranks_together_read_what_one_process_reads(text, ranks, batch_size, parts, seed):
    """Rank r takes the parts from r * parts on, as training.Run.batches_of has it."""
    shards, context = text
    whole = list(rows_of(shards, 2, context, batch_size, parts * ranks, seed))
    shape = {"seed": seed, "context": context, "batch_size": batch_size}
    shape["rows_per_step"] = batch_size * parts * ranks
    for rank in range(ranks):
        for step in range(2):
            for part in range(rank * parts, (rank + 1) * parts):
                tokens, _ = batch(shards, step, part, **shape)
                first = (step * parts * ranks + part) * batch_size
                np.testing.assert_array_equal(tokens, [row[:-1] for row in whole[first : first + batch_size]])


@given(text=shards_and_context(), seed=seeds, row=st.integers(0, 10**15))
def test_a_row_far_away_costs_no_more_and_needs_no_rows_before_it(text, seed, row):
    shards, context = text
    counts = tuple(window_count(len(ids), context) for ids in shards)
    shard, window = window_of_row(row, counts, seed, "shuffled")
    assert 0 <= window < counts[shard]
    first = row - row % sum(counts)
    epoch = [window_of_row(first + i, counts, seed, "shuffled") for i in range(sum(counts))]
    assert len(set(epoch)) == sum(counts)
    assert epoch[row - first] == (shard, window)


def test_known_answers():
    """Another order would silently change what a resumed run reads."""
    counts = (5, 1, 0, 3)
    assert [window_of_row(row, counts, 0, "shuffled") for row in range(18)] == ROWS
    assert [window_of_row(10**9 + i, (10**6,) * 100, 1234, "shuffled") for i in range(3)] == FAR


ROWS = [(0, 0), (0, 2), (0, 4), (0, 1), (0, 3), (3, 0), (3, 1), (3, 2), (1, 0)]
ROWS += [(3, 0), (3, 2), (3, 1), (0, 4), (0, 2), (0, 1), (0, 3), (0, 0), (1, 0)]
FAR = [(80, 741077), (80, 629560), (80, 952553)]


def test_epochs_differ_from_each_other_and_seeds_too_in_shards_and_in_windows():
    def order(seed, epoch):
        return [window_of_row(epoch * 300 + i, (50,) * 6, seed, "shuffled") for i in range(300)]

    made = [order(seed, epoch) for seed in range(3) for epoch in range(3)]
    turns = {tuple(dict.fromkeys(shard for shard, _ in one)) for one in made}
    assert len(turns) >= 8  # of 720; two of nine are equal once in 20 seeds
    within = {tuple(w for s, w in one if s == shard) for one in made for shard in range(6)}
    assert len(within) == 9 * 6


def test_targets_are_the_tokens_one_place_later():
    tokens, targets = batch([np.arange(100)], 0, 0, seed=0, context=9, batch_size=4, rows_per_step=4)
    np.testing.assert_array_equal(targets, tokens + 1)
    assert tokens.dtype == targets.dtype == np.int64


@given(n=st.integers(0, 100), context=sizes)
def test_windows_are_as_many_as_fit(n, context):
    assert window_count(n, context) == len(windows_in([np.arange(n)], context))


@given(n=st.integers(2, 50), context=sizes, every=sizes)
def test_validation_scores_every_token_but_the_first_exactly_once(n, context, every):
    ids = np.arange(n, dtype=np.uint16) + 1
    tokens, targets = ordered_windows(ids, context)
    assert tokens.shape == targets.shape == (len(tokens), context)
    kept = targets != -1
    np.testing.assert_array_equal(tokens[kept] + 1, targets[kept])
    np.testing.assert_array_equal(targets[kept], ids[1:])
    some_tokens, some_targets = ordered_windows(ids, context, every)
    np.testing.assert_array_equal(some_tokens, tokens[::every])
    np.testing.assert_array_equal(some_targets, targets[::every])
