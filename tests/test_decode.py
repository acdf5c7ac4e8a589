"""Reading on from a cache is reading everything again, for any split, any padding, any table."""

import functools
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigpt
from minigpt import kernels
from minigpt.choice import Choice, Dice
from minigpt.decode import Cache, Decoder
from minigpt.model import forward
from minigpt.sample import begin, draws, flush_right, window_start
from reference.budgets import budgets
from reference.llmc import Inputs, Sizes, run
from reference.llmc.parameters import from_hub

CONFIG = minigpt.GPTConfig(n_layer=2, n_head=3, n_embd=12, n_ctx=10, n_vocab=17)
PARAMS = {}
TABLES = {"reference": "float64", "fast": "float32"}
for name, dtype in TABLES.items():
    PARAMS[name] = minigpt.init_params(CONFIG, dtype=dtype)
    PARAMS[name].buffer[:] *= 10  # far from uniform

rows_of_ids = st.lists(st.integers(0, 16), min_size=1, max_size=10)


def like(dtype):
    """An array whose number type and device a cache takes over."""
    return np.empty(0, dtype)


def decoder(name, config=CONFIG, params=None):
    return Decoder(config, kernels.table(name, TABLES[name], 2), PARAMS[name] if params is None else params)


@functools.lru_cache
def exact(name, row):
    """The logits after each token of a row (T, V), and how far an honest program may be from them.

    The logits are those of llm.c's graph in float64, which shares no code with minigpt. The bound is found by
    running this graph with every rounding of float32 drawn anew (reference/budgets.py); the errors of float64
    are 2^-29 of those, its own rounding in the logits we compare with among them: two programs, a 2.
    """
    tokens = np.array([row])
    sizes = Sizes(L=2, H=3, D=4, V=17, N=10, B=1, T=len(row))
    question = Inputs(sizes, from_hub(PARAMS[name], CONFIG.n_layer), tokens, np.zeros_like(tokens))
    logits, key = run(question, backward=False)["logits", None][0], ("logits", None)
    bound = budgets(question, "fp32", only={key})[key].largest
    return logits, bound if name == "fast" else 2 * 2.0**-29 * bound


def assert_exact(name, found, row, place):
    """found (V) is what follows the first place tokens of a row."""
    logits, bound = exact(name, tuple(row))
    np.testing.assert_allclose(found, logits[place - 1], rtol=0, atol=bound)


@pytest.mark.parametrize("name", TABLES)
@settings(max_examples=25)
@given(row=rows_of_ids, cuts=st.sets(st.integers(1, 9)))
def test_any_split_gives_the_logits_of_the_whole(name, row, cuts):
    read_on, cache = decoder(name), Cache(CONFIG, like(TABLES[name]))
    edges = [0, *sorted(cut for cut in cuts if cut < len(row)), len(row)]
    for first, last in pairwise(edges):
        logits = read_on.read(cache, np.array([row[first:last]]))
        assert_exact(name, logits[0], row, last)
    assert cache.length == len(row)


@pytest.mark.parametrize("name", TABLES)
@settings(max_examples=15)
@given(rows=st.lists(rows_of_ids, min_size=1, max_size=4), more=st.integers(0, 3))
def test_rows_of_unequal_lengths_are_read_as_if_alone(name, rows, more):
    tokens, pads = flush_right(rows)
    turns = min(more, CONFIG.n_ctx - tokens.shape[1])
    longer = [row + [(3 * turn + i) % 17 for turn in range(turns)] for i, row in enumerate(rows)]
    read_on, cache = decoder(name), Cache(CONFIG, like(TABLES[name]), pads)
    logits = read_on.read(cache, tokens)
    for turn in range(turns + 1):
        for row, new, found in zip(rows, longer, logits, strict=True):
            assert_exact(name, found, new, len(row) + turn)
        if turn < turns:
            after = [[new[len(row) + turn]] for row, new in zip(rows, longer, strict=True)]
            logits = read_on.read(cache, np.array(after))


def test_the_bound_is_tight_enough_to_notice_a_wrong_position():
    for name in TABLES:
        logits, bound = exact(name, (1, 2, 3, 4))
        read_on, cache = decoder(name), Cache(CONFIG, like(TABLES[name]))
        read_on.read(cache, np.array([[1, 2, 3]]))
        cache.pads = np.array([1])  # the last token, one place too early
        assert np.abs(read_on.read(cache, np.array([[4]]))[0] - logits[3]).max() > 100 * bound


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
        # the model's own blocks: kernels have others, which are as good but for rounding
        table.block_forward = kernels.REFERENCE["block_forward"]
        table.block_read = kernels.REFERENCE["block_read"]
        Decoder(CONFIG, Watched(table, read), PARAMS[name]).read(Cache(CONFIG, like(dtype)), np.array([ROW]))
        forward(CONFIG, Watched(table, made), PARAMS[name], np.array([ROW]))
        assert len(read) == len(made) == 5
        np.testing.assert_array_equal(read[-1], made[-1][:, -1:])
        for one, other in zip(read[:-1], made[:-1], strict=True):
            np.testing.assert_array_equal(one, other)


def test_what_stands_in_a_pad_is_seen_by_nobody():
    tokens, pads = np.array([[1, 2, 3, 4], [0, 0, 5, 6]]), [0, 2]
    one, other = tokens.copy(), tokens.copy()
    other[1, :2] = 16
    found = [decoder("reference").read(Cache(CONFIG, like("float64"), pads), ids) for ids in (one, other)]
    np.testing.assert_array_equal(*found)


def test_a_cache_is_as_large_as_it_says():
    cache = Cache(CONFIG, like("float32"), (0, 0, 0))
    assert cache.nbytes == cache.keys.nbytes + cache.values.nbytes
    assert cache.nbytes == 4 * 2 * 2 * 3 * 10 * 12  # 2 L B n_ctx C numbers
    before = cache.keys
    decoder("fast").read(cache, np.ones((3, 10), int))
    assert cache.keys is before  # made once, for as many tokens as the model can see


# ---- a prompt that is read once ------------------------------------------------------------------


class Counting(Decoder):
    """A decoder that notes how many tokens it has read in each pass."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.passes = []

    def read(self, cache, tokens):
        self.passes.append(tokens.shape[1])
        return super().read(cache, tokens)


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize(("n", "slide"), [(4, 1), (20, 3)])
def test_samples_that_begin_alike_are_those_that_read_their_prompt_alone(name, n, slide):
    """Bit for bit: also the second, whose prompt others have read on from, beyond the context too."""
    counting = Counting(CONFIG, kernels.table(name, TABLES[name], 2), PARAMS[name])
    prompt, choice = [3, 1, 4, 1, 5], Choice(1.0)

    def sample(begun, seed):
        return [(one.id, one.logits.tobytes()) for (one,) in draws(counting, begun, n, choice, [Dice(seed)])]

    once = begin(counting, [prompt], slide)
    together = [sample(once, seed) for seed in (0, 1, 0)]
    assert counting.passes.count(5) == 1
    alone = [sample(begin(counting, [prompt], slide), seed) for seed in (0, 1, 0)]
    assert together == alone
    assert together[0] != together[1]


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
