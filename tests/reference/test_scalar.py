"""minigpt's operations and optimizer against scalar loops, within the bound that the loops derive.

No tolerance stands here: see reference/scalar/rounding.py. The same holds in float32, at its own roundoff.
`target` has hypothesis look for the worst; --hypothesis-show-statistics prints it, as a share of the bound.
"""

import functools
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, target
from hypothesis import strategies as st

from minigpt import ops, optim
from reference import scalar
from reference.scalar.rounding import DOUBLE, SINGLE, bounds, exactly, values

PRECISION = {"float64": DOUBLE, "float32": SINGLE}

both = pytest.mark.parametrize("dtype", PRECISION)
few = st.integers(1, 4)
channels = st.sampled_from([1, 2, 3, 5, 8])
vocabularies = st.sampled_from([1, 2, 3, 7])
rngs = st.integers(0, 2**32 - 1).map(np.random.default_rng)
scales = st.sampled_from([1e-2, 1.0, 10.0])


def normal(rng, dtype, scale, *shape):
    """An array of normal numbers."""
    return (scale * rng.normal(size=shape)).astype(dtype)


def loops(argument):
    """What a scalar program takes for an array: nested lists, of exact numbers where it holds floats."""
    if not isinstance(argument, np.ndarray):
        return argument
    return exactly(argument.tolist()) if argument.dtype.kind == "f" else argument.tolist()


def assert_close(got, want, dtype):
    """Every entry within its bound; return the largest share of the bound that was used."""
    assert got.dtype == dtype
    assert got.shape == np.shape(values(want))
    share = np.abs(got.astype(float) - values(want)) / bounds(want, PRECISION[dtype])
    assert (share <= 1).all(), f"{share.max()} times the bound"
    return float(share.max())


def check(name, dtype, rng, *arguments, table=ops):
    """A pair of operations against its scalar twin; a random gradient comes in at the output.

    Return the largest share of a bound that was used.
    """
    twins = [loops(argument) for argument in arguments]
    y, cache = getattr(table, f"{name}_forward")(*arguments)
    shares = [assert_close(y, getattr(scalar, f"{name}_forward")(*twins), dtype)]

    dy = np.asarray(rng.normal(size=y.shape)).astype(dtype)
    grads = getattr(table, f"{name}_backward")(dy, cache)
    wants = getattr(scalar, f"{name}_backward")(loops(dy), *twins)
    grads, wants = (grads, wants) if isinstance(grads, tuple) else ((grads,), (wants,))
    shares += [assert_close(got, want, dtype) for got, want in zip(grads, wants, strict=True)]
    return max(shares)


# The operations ----------------------------------------------------------------------------------------


@both
@given(rng=rngs, scale=scales, B=few, T=few, C=channels, V=vocabularies, spare=st.integers(0, 2))
def test_embedding(dtype, rng, scale, B, T, C, V, spare):
    tokens = rng.integers(V, size=(B, T))
    wte, wpe = normal(rng, dtype, scale, V, C), normal(rng, dtype, scale, T + spare, C)
    target(check("embedding", dtype, rng, tokens, wte, wpe))


@both
@given(rng=rngs, scale=scales, shift=st.sampled_from([0, 100]), B=few, T=few, C=channels)
def test_layernorm(dtype, rng, scale, shift, B, T, C):
    x = normal(rng, dtype, scale, B, T, C) + np.dtype(dtype).type(shift)
    target(check("layernorm", dtype, rng, x, normal(rng, dtype, 1, C), normal(rng, dtype, 1, C)))


@both
@given(rng=rngs, scale=scales, B=few, T=few, inputs=channels, outputs=channels)
def test_linear(dtype, rng, scale, B, T, inputs, outputs):
    x, weight = normal(rng, dtype, scale, B, T, inputs), normal(rng, dtype, scale, inputs, outputs)
    target(check("linear", dtype, rng, x, weight, normal(rng, dtype, scale, outputs)))


@both
@given(rng=rngs, scale=scales, B=few, T=few, C=channels, V=vocabularies)
def test_unembedding(dtype, rng, scale, B, T, C, V):
    x, wte = normal(rng, dtype, scale, B, T, C), normal(rng, dtype, scale, V, C)
    target(check("unembedding", dtype, rng, x, wte))


@both
@given(rng=rngs, scale=scales, B=st.integers(1, 2), T=st.integers(1, 5), H=st.integers(1, 3), D=few)
def test_attention(dtype, rng, scale, B, T, H, D):
    target(check("attention", dtype, rng, normal(rng, dtype, scale, B, T, 3 * H * D), H))


@both
@given(rng=rngs, scale=scales, B=few, T=few, F=channels)
def test_gelu(dtype, rng, scale, B, T, F):
    target(check("gelu", dtype, rng, normal(rng, dtype, scale, B, T, F)))


@both
@given(rng=rngs, scale=scales, B=few, T=few, V=vocabularies, ignored=st.sampled_from([0, 0.5]))
def test_cross_entropy(dtype, rng, scale, B, T, V, ignored):
    targets = np.where(rng.random((B, T)) < ignored, -1, rng.integers(V, size=(B, T)))
    targets[0, 0] = max(targets[0, 0], 0)  # one target at least is scored
    target(check("cross_entropy", dtype, rng, normal(rng, dtype, scale, B, T, V), targets))


# The optimizer -----------------------------------------------------------------------------------------


@both
@given(rng=rngs, scale=scales, P=st.integers(1, 30), clip=st.sampled_from([None, 0.1, 1.0, 100.0]))
def test_norm_and_clipping(dtype, rng, scale, P, clip):
    grads = normal(rng, dtype, scale, P)
    norm, want = optim.global_norm(grads), scalar.global_norm(loops(grads))
    target(assert_close(norm, want, dtype))
    shortening = np.asarray(optim.clip_scale(norm, clip), dtype)
    assert_close(shortening, scalar.clip_scale(want, clip), dtype)


@both
@given(
    rng=rngs,
    scale=scales,
    P=st.integers(1, 8),
    step=st.integers(1, 2000),
    betas=st.sampled_from([(0.9, 0.95), (0.9, 0.999), (0.0, 0.5)]),
    weight_decay=st.sampled_from([0.0, 0.1]),
    fresh=st.booleans(),
)
def test_adamw(dtype, rng, scale, P, step, betas, weight_decay, fresh):
    params, grads, first, second = (normal(rng, dtype, scale, P) for _ in range(4))
    first, second = first * (1 - fresh), second * second * (1 - fresh)
    settings = {"step": step, "scale": 0.3, "lr": 6e-4, "betas": betas, "eps": 1e-8}
    n_decayed = int(rng.integers(P + 1))
    got = optim.adamw(
        params, grads, first, second, n_decayed=n_decayed, weight_decay=weight_decay, **settings
    )
    twins = zip(*map(loops, (params, grads, first, second)), strict=True)
    decays = [weight_decay if i < n_decayed else 0.0 for i in range(P)]
    want = [scalar.adamw(*p, weight_decay=decay, **settings) for p, decay in zip(twins, decays, strict=True)]
    shares = [assert_close(got[i], [each[i] for each in want], dtype) for i in range(3)]
    target(max(shares))


# The tests themselves: each must notice one small fault ------------------------------------------------

PAIRS = sorted({name.rsplit("_", 1)[0] for name in ops.__all__})


def example(name, rng):
    """Arguments for one pair of operations."""
    x = rng.normal(size=(2, 3, 6))
    tokens, targets = np.array([[0, 1, 1], [2, 0, 3]]), np.array([[0, -1, 1], [2, 0, -1]])
    return {
        "attention": (x, 2),
        "cross_entropy": (x, targets),
        "embedding": (tokens, rng.normal(size=(4, 6)), rng.normal(size=(5, 6))),
        "gelu": (x,),
        "layernorm": (x, rng.normal(size=6), rng.normal(size=6)),
        "linear": (x, rng.normal(size=(6, 4)), rng.normal(size=4)),
        "unembedding": (x, rng.normal(size=(7, 6))),
    }[name]


def off(function, place):
    """The function, with one of its results off by a part in 1e12."""

    @functools.wraps(function)
    def wrong(*arguments):
        results = function(*arguments)
        if not isinstance(results, tuple):
            return results * (1 + 1e-12)
        return tuple(result * (1 + 1e-12) if i == place else result for i, result in enumerate(results))

    return wrong


@pytest.mark.parametrize("name", PAIRS)
def test_forward_off_by_a_part_in_1e12_is_noticed(name):
    rng, forward = np.random.default_rng(0), f"{name}_forward"
    faulty = SimpleNamespace(**vars(ops) | {forward: off(getattr(ops, forward), 0)})
    with pytest.raises(AssertionError, match="times the bound"):
        check(name, "float64", rng, *example(name, rng), table=faulty)


@pytest.mark.parametrize(("name", "place"), [
    *((name, 0) for name in PAIRS), ("embedding", 1), ("layernorm", 1), ("layernorm", 2),
    ("linear", 1), ("linear", 2), ("unembedding", 1),
])  # fmt: skip
def test_gradient_off_by_a_part_in_1e12_is_noticed(name, place):
    rng, backward = np.random.default_rng(0), f"{name}_backward"
    faulty = SimpleNamespace(**vars(ops) | {backward: off(getattr(ops, backward), place)})
    with pytest.raises(AssertionError, match="times the bound"):
        check(name, "float64", rng, *example(name, rng), table=faulty)


@pytest.mark.parametrize(("name", "constant", "wrong"), [
    ("layernorm", "EPS", 1e-6), ("gelu", "CUBIC", 0.044716), ("gelu", "SLOPE", 0.79788),
    ("cross_entropy", "IGNORED", 0),
])  # fmt: skip
def test_wrong_constant_is_noticed(monkeypatch, name, constant, wrong):
    rng = np.random.default_rng(0)
    monkeypatch.setattr(f"minigpt.ops.{name}.{constant}", wrong)
    with pytest.raises(AssertionError, match="times the bound"):
        check(name, "float64", rng, *example(name, rng))
