"""Batches are a pure function of the step; validation reads every token once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigpt.data import batch, ordered_windows, permutation, window_count, window_of_row
from minigpt.errors import DataError

sizes = st.integers(1, 7)


def rows_of(ids, steps, context, batch_size, parts, seed=0):
    """All rows of some steps, in order: tokens with the last target behind them."""
    shape = {"seed": seed, "context": context, "batch_size": batch_size, "rows_per_step": batch_size * parts}
    for step in range(steps):
        for part in range(parts):
            tokens, targets = batch(ids, step, part, **shape)
            assert tokens.shape == targets.shape == (batch_size, context)
            yield from np.concatenate([tokens, targets[:, -1:]], axis=1)


@given(windows=sizes, context=sizes, over=st.integers(0, 6), seed=st.integers(0, 99))
def test_an_epoch_reads_every_window_once(windows, context, over, seed):
    ids = np.arange(windows * context + 1 + over % context, dtype=np.uint16)
    rows = list(rows_of(ids, windows, context, 1, 1, seed))
    assert sorted(row[0] for row in rows) == [context * i for i in range(windows)]
    for row in rows:
        np.testing.assert_array_equal(row, np.arange(row[0], row[0] + context + 1))


@given(context=sizes, batch_size=sizes, parts=sizes, seed=st.integers(0, 99))
def test_the_stream_of_rows_does_not_depend_on_how_steps_are_cut(context, batch_size, parts, seed):
    ids = np.arange(20 * context + 1, dtype=np.uint16)
    cut = list(rows_of(ids, 3, context, batch_size, parts, seed))
    one_by_one = list(rows_of(ids, len(cut), context, 1, 1, seed))
    np.testing.assert_array_equal(cut, one_by_one)


def test_epochs_differ_from_each_other_and_seeds_too():
    orders = {tuple(permutation(50, seed, epoch)) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9
    assert [window_of_row(50 + i, 50, 1) for i in range(50)] == list(permutation(50, 1, 1))


def test_targets_are_the_tokens_one_place_later():
    tokens, targets = batch(np.arange(100), 0, 0, seed=0, context=9, batch_size=4, rows_per_step=4)
    np.testing.assert_array_equal(targets, tokens + 1)


def test_a_text_shorter_than_a_window_is_refused():
    assert window_count(9, 8) == 1
    with pytest.raises(DataError, match=r"8 tokens, but one window needs context \+ 1 = 9"):
        window_count(8, 8)


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
