"""Reading on from a cache is reading everything again, for any split, any padding, any table."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigpt
from minigpt import kernels
from minigpt.decode import Cache, Decoder
from minigpt.model import forward
from minigpt.sample import flush_right, window_start

CONFIG = minigpt.GPTConfig(n_layer=2, n_head=3, n_embd=12, n_ctx=10, n_vocab=17)
PARAMS = {}
TABLES = {"reference": "float64", "fast": "float32"}
for name, dtype in TABLES.items():
    PARAMS[name] = minigpt.init_params(CONFIG, dtype=dtype)
    PARAMS[name].buffer[:] *= 10  # far from uniform
# 4 n u of a sum of n = 48 terms, for 14 operations one after the other, of logits up to 16
BOUND = {name: 4 * 48 * 14 * 16 * np.finfo(dtype).eps / 2 for name, dtype in TABLES.items()}

rows_of_ids = st.lists(st.integers(0, 16), min_size=1, max_size=10)


def decoder(name, config=CONFIG, params=None):
    return Decoder(config, kernels.table(name, TABLES[name], 2), PARAMS[name] if params is None else params)


def whole(name, row):
    """The logits after each token of a row, by the model itself."""
    table = kernels.table(name, TABLES[name], 2)
    return forward(CONFIG, table, PARAMS[name], np.array([row]))[0][0]


@pytest.mark.parametrize("name", TABLES)
@given(row=rows_of_ids, cuts=st.sets(st.integers(1, 9)))
def test_any_split_gives_the_logits_of_the_whole(name, row, cuts):
    read_on, cache = decoder(name), Cache(CONFIG, TABLES[name])
    edges = [0, *sorted(cut for cut in cuts if cut < len(row)), len(row)]
    expected = whole(name, row)
    for first, last in pairwise(edges):
        logits = read_on.read(cache, np.array([row[first:last]]))
        np.testing.assert_allclose(logits[0], expected[last - 1], rtol=0, atol=BOUND[name])
    assert cache.length == len(row)


@pytest.mark.parametrize("name", TABLES)
@given(rows=st.lists(rows_of_ids, min_size=1, max_size=4), more=st.integers(0, 3))
def test_rows_of_unequal_lengths_are_read_as_if_alone(name, rows, more):
    tokens, pads = flush_right(rows)
    read_on, cache = decoder(name), Cache(CONFIG, TABLES[name], pads)
    rows = [list(row) for row in rows]
    logits = read_on.read(cache, tokens)
    for turn in range(more + 1):
        for row, found in zip(rows, logits, strict=True):
            np.testing.assert_allclose(found, whole(name, row)[-1], rtol=0, atol=BOUND[name])
        if turn == more or tokens.shape[1] + turn == CONFIG.n_ctx:
            break
        new = [(3 * turn + i) % 17 for i in range(len(rows))]
        for row, token in zip(rows, new, strict=True):
            row.append(token)
        logits = read_on.read(cache, np.array(new)[:, None])


class Watched:
    """An ops table that keeps what enters its layernorms."""

    def __init__(self, table, seen):
        self.table, self.seen = table, seen

    def layernorm_forward(self, x, gain, bias):
        self.seen.append(x.copy())
        return self.table.layernorm_forward(x, gain, bias)

    def __getattr__(self, name):
        return getattr(self.table, name)


ROW = list(range(9))


def test_reading_all_at_once_is_the_model_bit_for_bit():
    """Up to what follows the last block, where reading goes on with one place only."""
    for name, dtype in TABLES.items():
        table, read, made = kernels.table(name, dtype, 2), [], []
        Decoder(CONFIG, Watched(table, read), PARAMS[name]).read(Cache(CONFIG, dtype), np.array([ROW]))
        forward(CONFIG, Watched(table, made), PARAMS[name], np.array([ROW]))
        assert len(read) == len(made) == 5
        np.testing.assert_array_equal(read[-1], made[-1][:, -1:])
        for one, other in zip(read[:-1], made[:-1], strict=True):
            np.testing.assert_array_equal(one, other)


def test_what_stands_in_a_pad_is_seen_by_nobody():
    tokens, pads = np.array([[1, 2, 3, 4], [0, 0, 5, 6]]), [0, 2]
    one, other = tokens.copy(), tokens.copy()
    other[1, :2] = 16
    found = [decoder("reference").read(Cache(CONFIG, "float64", pads), ids) for ids in (one, other)]
    np.testing.assert_array_equal(*found)


def test_a_cache_is_as_large_as_it_says():
    cache = Cache(CONFIG, "float32", (0, 0, 0))
    assert cache.keys.nbytes + cache.values.nbytes == 4 * 2 * 2 * 3 * 10 * 12  # 2 L B n_ctx C numbers


@given(st.integers(1, 60), st.integers(1, 12), st.data())
def test_windows_slide_in_steps_and_are_never_too_long(length, n_ctx, data):
    slide = data.draw(st.integers(1, n_ctx))
    start = window_start(length, n_ctx, slide)
    assert start % slide == 0
    assert length - start <= n_ctx
    assert start == 0 or length - start > n_ctx - slide
    if slide == 1:
        assert start == max(0, length - n_ctx)


# ---- generate ------------------------------------------------------------------------------------


@pytest.mark.parametrize("slide", [1, 2, 5, 10])
def test_greedy_ids_are_those_of_reading_the_window_anew(slide):
    ids = [1, 2, 3]
    for _ in range(25):
        window = ids[window_start(len(ids), 10, slide) :]
        ids.append(int(minigpt.logits(CONFIG, PARAMS["reference"], [window])[0, -1].argmax()))
    assert minigpt.generate(CONFIG, PARAMS["reference"], [1, 2, 3], 25, slide=slide) == ids[3:]


@given(
    prompts=st.lists(st.lists(st.integers(0, 16), max_size=14), max_size=4),
    temperature=st.sampled_from([0.0, 1.0]),
    slide=st.integers(1, 10),
)
def test_a_batch_is_each_prompt_alone(prompts, temperature, slide):
    options = {"max_new_tokens": 8, "temperature": temperature, "slide": slide, "stop": [3]}
    batch = minigpt.generate_batch(CONFIG, PARAMS["reference"], prompts, seed=7, **options)
    alone = [
        minigpt.generate(CONFIG, PARAMS["reference"], prompt, seed=7 + i, **options)
        for i, prompt in enumerate(prompts)
    ]
    assert batch == alone


@pytest.mark.parametrize(
    ("prompts", "said"),
    [
        ("text", "prompts must be a list of lists of ids: found str"),
        (7, "prompts must be a list of lists of ids: found int"),
        ([[1], [17]], r"prompt_ids\[0\] is 17"),
        ([1, 2], "prompt_ids must be one row"),
    ],
)
def test_prompts_that_are_none_are_named(prompts, said):
    with pytest.raises(minigpt.DataError, match=said):
        minigpt.generate_batch(CONFIG, PARAMS["reference"], prompts)


@pytest.mark.parametrize("slide", [0, 11, 1.5, True])
def test_slides_that_are_none_are_named(slide):
    with pytest.raises(minigpt.ConfigError, match="slide must be"):
        minigpt.generate(CONFIG, PARAMS["reference"], [1], slide=slide)
