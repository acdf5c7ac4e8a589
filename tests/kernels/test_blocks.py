"""Blocks in sweeps on cores: the model's own in float64, whatever the shape, the threads and the cuts."""

import math
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import threadpool_info

import minigpt
from minigpt.arrays import Flat
from minigpt.decode import Cache, Decoder
from minigpt.kernels import table
from minigpt.kernels.cpu import attention, reading, unembedding
from minigpt.kernels.cpu.gradient import products
from minigpt.kernels.cpu.team import Team
from minigpt.model import backward, block_backward, block_forward, forward, init_params, param_shapes, within
from tests.support.tables import cpu_table, reference_table, small_blocks

CONFIG = minigpt.GPTConfig(n_layer=2, n_head=2, n_embd=8, n_ctx=7, n_vocab=11)
REFERENCE = reference_table()


def far_from_init(seed):
    """Parameters in float64, none of them 0 or 1."""
    params = init_params(CONFIG, dtype="float64")
    params.buffer[:] += 0.3 * np.random.default_rng(seed).normal(size=params.buffer.size)
    return params


def distance(arrays, want):
    """The length of the difference over the length."""
    squares = [(np.sum((arrays[name] - want[name]) ** 2), np.sum(want[name] ** 2)) for name in want]
    return (sum(a for a, _ in squares) / sum(b for _, b in squares)) ** 0.5


def block_results(functions, ops, params, x, dy):
    """A block's output and gradients, in arrays."""
    forward_, backward_ = functions
    y, tape = forward_(ops, params, x, CONFIG.n_head)
    y = y.copy()
    dx, grads = backward_(ops, dy, tape)
    flat = Flat.zeros({name: p.shape for name, p in params.items()}, x.dtype)
    flat.buffer[:] = np.nan
    ops.collect(grads.items(), into=flat, add=False)
    return dict(flat) | {"x": dx, "y": y}


@given(
    seed=st.integers(0, 2**32 - 1),
    B=st.integers(1, 6),
    T=st.integers(1, 7),
    threads=st.integers(1, 4),
    scale=st.sampled_from([0.1, 1.0, 30.0]),
)
def test_a_block_is_the_models_own(seed, B, T, threads, scale):
    """30: attention's scores are far from 0, where exp needs their maximum, and a row's log-sum-exp, which
    backward makes the probabilities from, is rounded at their size.
    """
    rng, params = np.random.default_rng(seed), within(far_from_init(seed), "h.0.")
    params["attn.c_attn.weight"] *= scale
    x, dy = rng.normal(size=(2, B, T, 8))
    want = block_results((block_forward, block_backward), REFERENCE, params, x, dy)
    single = {name: p.astype(np.float32) for name, p in params.items()}, *np.float32([x, dy])
    plain = block_results((block_forward, block_backward), REFERENCE, *single)
    with small_blocks():
        ops = cpu_table(threads)
        found = block_results((ops.block_forward, ops.block_backward), ops, *single)
    q, k, *_ = block_forward(REFERENCE, params, x, CONFIG.n_head)[1][2]
    largest = np.abs(q @ k.swapaxes(-1, -2)).max() / math.sqrt(q.shape[-1])
    rounding = np.finfo(np.float32).eps * max(1, largest)
    assert distance(found, want) <= 8 * max(distance(plain, want), rounding)


@given(
    seed=st.integers(0, 2**32 - 1),
    B=st.integers(1, 6),
    T=st.integers(1, 7),
    threads=st.integers(1, 4),
    few=st.sampled_from([0, 5, 99]),
    many=st.sampled_from([0, 4, 99]),
)
def test_reading_through_a_block_is_the_models_own(seed, B, T, threads, few, many):
    """By a few rows, by many, and by those between; with the attention that is given."""
    rng, params = np.random.default_rng(seed), within(far_from_init(seed), "h.0.")
    x = rng.normal(size=(B, T, 8))

    def half(ops):
        return lambda qkv, n_head: (0.5 * ops.attention_forward(qkv, n_head)[0], None)

    want = REFERENCE.block_read(REFERENCE, params, x, CONFIG.n_head, half(REFERENCE))
    single, narrow = {name: p.astype(np.float32) for name, p in params.items()}, x.astype(np.float32)
    plain = REFERENCE.block_read(REFERENCE, single, narrow, CONFIG.n_head, half(REFERENCE))
    with small_blocks(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "FEW", few)
        patch.setattr(reading, "MANY", many)
        ops = cpu_table(threads)
        found = ops.block_read(ops, single, narrow, CONFIG.n_head, half(ops))
    np.testing.assert_array_equal(narrow, x.astype(np.float32))
    rounding = np.finfo(np.float32).eps
    assert distance({"x": found}, {"x": want}) <= 8 * max(distance({"x": plain}, {"x": want}), rounding)


@given(B=st.integers(1, 40), H=st.integers(1, 30), T=st.integers(1, 2500), threads=st.integers(1, 16))
def test_attentions_units_are_even_and_small(B, H, T, threads):
    units = attention.units_of(slice(0, B), H, T, threads)
    pairs = [(b, h) for some, few in units for b in range(B)[some] for h in range(H)[few]]
    assert sorted(pairs) == [(b, h) for b in range(B) for h in range(H)]
    sizes = [len(range(B)[some]) * len(range(H)[few]) for some, few in units]
    most = max(1, attention.UNIT_BYTES // (4 * min(T, attention.TILE) * T))
    assert max(sizes) <= most
    if most < 2 * H and any(B * lots % threads == 0 for lots in range(-(-H // most), H + 1)):
        assert len(units) % threads == 0  # a unit is of one sequence: there is a way to deal them evenly


@pytest.mark.parametrize("zen4", [False, True])
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("rows", [1, 2])
def test_a_few_places_logits_whoever_reads_the_table(monkeypatch, zen4, threads, rows):
    monkeypatch.setattr(unembedding, "on_zen4", lambda: zen4)
    assert unembedding.by_dot_products(threads) == (zen4 and threads < 3)
    rng = np.random.default_rng(0)
    x, wte = rng.normal(size=(rows, 1, 96)), rng.normal(size=(301, 96))
    ops = cpu_table(threads)
    with ops.session(rows):
        found = ops.unembedding_forward(x.astype("f"), wte.astype("f"))[0]
    bound = 98 * np.finfo("f").eps / 2 * (np.abs(x) @ np.abs(wte).T)  # 96 products and sums, two casts
    assert (np.abs(found - x @ wte.T) <= bound).all()


def test_a_prompts_last_place_is_multiplied_by_blas_threads():
    """However long the prompt, whose own products are cut between ours."""
    seen = []

    def noted(*arguments):
        seen.append({pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"})
        return forward(*arguments)

    config = minigpt.GPTConfig(n_layer=1, n_head=1, n_embd=8, n_ctx=64, n_vocab=11)
    ops = cpu_table(2)
    forward, ops.unembedding_forward = ops.unembedding_forward, noted
    params = init_params(config)
    Decoder(config, ops, params).read(Cache(config, params.buffer), np.ones((1, 64), int))
    assert seen == [{2}]


@pytest.mark.parametrize("score", [-80, -60, -30, 30, 60, 80])
@pytest.mark.parametrize("size", [1e-12, 1.0, 1e12])
def test_attention_takes_scores_and_values_of_any_size_together(score, size):
    """exp(60) is a float32, and so is 1e12, but not their product. Queries are 1: a score is twice a key."""
    rng = np.random.default_rng(0)
    q, k, v = np.ones((1, 8, 4)), rng.normal(score / 2, 0.01, (1, 8, 4)), rng.normal(0, size, (1, 8, 4))
    qkv = np.concatenate([q, k, v], axis=-1)
    want = REFERENCE.attention_forward(qkv, 1)[0]
    found = cpu_table(1).attention_forward(qkv.astype(np.float32), 1)[0]
    np.testing.assert_allclose(found, want, rtol=0, atol=1e-5 * np.abs(want).max())


@pytest.mark.parametrize("score", [-80, -60, -30, 30, 60, 80])
@pytest.mark.parametrize("size", [1e-12, 1.0, 1e12])
def test_attentions_gradient_takes_scores_and_gradients_of_any_size_together(score, size):
    """As good as plain float32, whose scores are rounded at their size."""
    rng = np.random.default_rng(0)
    q, k, v = np.ones((1, 8, 4)), rng.normal(score / 2, 0.01, (1, 8, 4)), rng.normal(size=(1, 8, 4))
    qkv, dy = np.concatenate([q, k, v], axis=-1), rng.normal(0, size, (1, 8, 4))

    def gradient(ops, dtype):
        given = qkv.astype(dtype), dy.astype(dtype)
        return np.split(ops.attention_backward(given[1], ops.attention_forward(given[0], 1)[1]), 3, axis=-1)

    want, plain, found = (
        gradient(*way) for way in [(REFERENCE, "float64"), (REFERENCE, "float32"), (cpu_table(1), "float32")]
    )
    for ours, theirs, exact in zip(found, plain, want, strict=True):
        error, usual = (np.abs(other - exact).max() / size for other in (ours, theirs))
        assert error <= 8 * max(usual, abs(score) * np.finfo(np.float32).eps)


@given(B=st.integers(1, 5), threads=st.integers(1, 3))
def test_backward_leaves_what_it_was_given(B, threads):
    """The gradient that comes in is still to be read by the block above; weights are weights."""
    params = {name: p.astype(np.float32) for name, p in within(far_from_init(0), "h.0.").items()}
    x, dy = np.random.default_rng(B).normal(size=(2, B, 3, 8)).astype(np.float32)
    before = [a.copy() for a in (x, dy, *params.values())]
    with small_blocks():
        ops = cpu_table(threads)
        y, tape = ops.block_forward(ops, params, x, CONFIG.n_head)
        kept = y.copy()
        ops.block_backward(ops, dy, tape)
    for a, b in zip([x, dy, *params.values(), y], [*before, kept], strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_second_part_is_added(threads):
    """Micro-batches: what is written with add is what is written without, on top."""
    params = {name: p.astype(np.float32) for name, p in far_from_init(3).items()}
    tokens, targets = np.random.default_rng(0).integers(0, 11, (2, 3, 7))

    def collected(ops, into, add):
        logits, tape = forward(CONFIG, ops, params, tokens)
        _, tail = ops.cross_entropy_forward(logits, targets)
        dlogits = ops.cross_entropy_backward(1.0, tail)
        return ops.collect(backward(CONFIG, ops, dlogits, tape), into=into, add=add)

    with small_blocks():
        ops = cpu_table(threads)
        once = collected(ops, Flat.zeros(param_shapes(CONFIG)), False).buffer.copy()
        twice = collected(ops, Flat.zeros(param_shapes(CONFIG)).like(once.copy()), True).buffer
    np.testing.assert_allclose(twice, 2 * once, rtol=1e-6, atol=1e-6)


def test_what_gradients_are_made_of_is_let_go_once_they_are_written():
    """A block's activations would else be held while the block below is worked on."""
    pairs = [(np.ones((3, size), np.float32), np.ones((3, 4), np.float32)) for size in (5, 6)]
    held = [weakref.ref(left) for left, _ in pairs]
    gradients = products(pairs, Team(2))
    del pairs
    for size, gradient in zip((5, 6), gradients, strict=True):
        assert held[0]() is not None
        gradient.write(np.empty((size, 4), np.float32), add=False)
    assert [reference() for reference in held] == [None, None]


def test_a_tall_gradient_is_written_in_pieces():
    """The token table's: rows beyond PIECE, a last piece that is shorter, and both ways of writing."""
    x, dlogits = np.random.default_rng(0).normal(size=(2, 1, 3, 9001)).astype(np.float32)[:, :, :, :9001]
    x, ops = np.ascontiguousarray(x[..., :4]), table("fast", "float32", 2)
    want = dlogits[0].T @ x[0]
    for start, add in ((np.nan, False), (0, True)):
        _, dwte = ops.unembedding_backward(dlogits, (x, np.ones((9001, 4), np.float32)))
        out = np.full((9001, 4), start, np.float32)
        dwte.write(out, add)
        np.testing.assert_allclose(out, want, rtol=1e-5, atol=1e-6)
