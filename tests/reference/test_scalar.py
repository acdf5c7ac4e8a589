"""Every table of operations against scalar loops, within the bound that the loops derive.

No tolerance stands here: see reference/scalar/rounding.py. The same holds in float32, at its own roundoff,
and for the CPU kernels, which add up the same terms in another order. `target` has hypothesis look for the
worst; --hypothesis-show-statistics prints it, as a share of the bound.
"""

import functools
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, target
from hypothesis import strategies as st

from minigpt import ops, optim
from reference import scalar
from tests.support.oracle import Subject, assert_close, check, loops, normal
from tests.support.tables import cpu_table, reference_table, small_blocks

SUBJECTS = {
    "reference in float64": Subject(reference_table(), "float64"),
    "reference in float32": Subject(reference_table(), "float32"),
    "cpu kernels on 1 thread": Subject(cpu_table(1), "float32"),
    "cpu kernels on 2 threads": Subject(cpu_table(2), "float32"),
    "cpu kernels on 3 threads": Subject(cpu_table(3), "float32"),
}

every_subject = pytest.mark.parametrize("subject", SUBJECTS.values(), ids=list(SUBJECTS))
few = st.integers(1, 4)
channels = st.sampled_from([1, 2, 3, 5, 8])
vocabularies = st.sampled_from([1, 2, 3, 7])
rngs = st.integers(0, 2**32 - 1).map(np.random.default_rng)
scales = st.sampled_from([1e-2, 1.0, 10.0])


@pytest.fixture(autouse=True, scope="module")
def many_blocks_of_work():
    """Kernels cut even these small arrays into blocks, tiles and shares of threads."""
    with small_blocks():
        yield


# The operations ----------------------------------------------------------------------------------------


@every_subject
@given(rng=rngs, scale=scales, B=few, T=few, C=channels, V=vocabularies, spare=st.integers(0, 2))
def test_embedding(subject, rng, scale, B, T, C, V, spare):
    tokens = rng.integers(V, size=(B, T))
    wte, wpe = normal(rng, subject.dtype, scale, V, C), normal(rng, subject.dtype, scale, T + spare, C)
    target(check("embedding", subject, rng, tokens, wte, wpe))


@every_subject
@given(rng=rngs, scale=scales, shift=st.sampled_from([0, 100]), B=few, T=few, C=channels)
def test_layernorm(subject, rng, scale, shift, B, T, C):
    x = normal(rng, subject.dtype, scale, B, T, C) + np.dtype(subject.dtype).type(shift)
    target(
        check(
            "layernorm", subject, rng, x, normal(rng, subject.dtype, 1, C), normal(rng, subject.dtype, 1, C)
        )
    )


@every_subject
@given(rng=rngs, scale=scales, B=few, T=few, inputs=channels, outputs=channels)
def test_linear(subject, rng, scale, B, T, inputs, outputs):
    x, weight = (
        normal(rng, subject.dtype, scale, B, T, inputs),
        normal(rng, subject.dtype, scale, inputs, outputs),
    )
    target(check("linear", subject, rng, x, weight, normal(rng, subject.dtype, scale, outputs)))


@every_subject
@given(rng=rngs, scale=scales, B=few, T=few, C=channels, V=vocabularies)
def test_unembedding(subject, rng, scale, B, T, C, V):
    x, wte = normal(rng, subject.dtype, scale, B, T, C), normal(rng, subject.dtype, scale, V, C)
    target(check("unembedding", subject, rng, x, wte))


@every_subject
@given(rng=rngs, scale=scales, B=st.integers(1, 2), T=st.integers(1, 5), H=st.integers(1, 3), D=few)
def test_attention(subject, rng, scale, B, T, H, D):
    target(check("attention", subject, rng, normal(rng, subject.dtype, scale, B, T, 3 * H * D), H))


@every_subject
@given(rng=rngs, scale=scales, B=few, T=few, F=channels)
def test_gelu(subject, rng, scale, B, T, F):
    target(check("gelu", subject, rng, normal(rng, subject.dtype, scale, B, T, F)))


@every_subject
@given(rng=rngs, scale=scales, B=few, T=few, V=vocabularies, ignored=st.sampled_from([0, 0.5]))
def test_cross_entropy(subject, rng, scale, B, T, V, ignored):
    targets = np.where(rng.random((B, T)) < ignored, -1, rng.integers(V, size=(B, T)))
    targets[0, 0] = max(targets[0, 0], 0)  # one target at least is scored
    target(check("cross_entropy", subject, rng, normal(rng, subject.dtype, scale, B, T, V), targets))


# The optimizer -----------------------------------------------------------------------------------------


@every_subject
@given(rng=rngs, scale=scales, P=st.integers(1, 30), clip=st.sampled_from([None, 0.1, 1.0, 100.0]))
def test_norm_and_clipping(subject, rng, scale, P, clip):
    grads = normal(rng, subject.dtype, scale, P)
    norm, want = subject.table.global_norm(grads), scalar.global_norm(loops(grads))
    target(assert_close(norm, want, subject.dtype))
    shortening = np.asarray(optim.clip_scale(norm, clip), subject.dtype)
    assert_close(shortening, scalar.clip_scale(want, clip), subject.dtype)


@every_subject
@given(
    rng=rngs,
    scale=scales,
    P=st.integers(1, 8),
    step=st.integers(1, 2000),
    betas=st.sampled_from([(0.9, 0.95), (0.9, 0.999), (0.0, 0.5)]),
    weight_decay=st.sampled_from([0.0, 0.1]),
    fresh=st.booleans(),
)
def test_adamw(subject, rng, scale, P, step, betas, weight_decay, fresh):
    params, grads, first, second = (normal(rng, subject.dtype, scale, P) for _ in range(4))
    first, second = first * (1 - fresh), second * second * (1 - fresh)
    settings = {"step": step, "scale": 0.3, "lr": 6e-4, "betas": betas, "eps": 1e-8}
    n_decayed = int(rng.integers(P + 1))
    twins = zip(*map(loops, (params, grads, first, second)), strict=True)
    got = subject.table.adamw(
        params, grads, first, second, n_decayed=n_decayed, weight_decay=weight_decay, **settings
    )
    decays = [weight_decay if i < n_decayed else 0.0 for i in range(P)]
    want = [scalar.adamw(*p, weight_decay=decay, **settings) for p, decay in zip(twins, decays, strict=True)]
    shares = [assert_close(got[i], [each[i] for each in want], subject.dtype) for i in range(3)]
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
        check(name, Subject(faulty, "float64"), rng, *example(name, rng))


@pytest.mark.parametrize(("name", "place"), [
    *((name, 0) for name in PAIRS), ("embedding", 1), ("layernorm", 1), ("layernorm", 2),
    ("linear", 1), ("linear", 2), ("unembedding", 1),
])  # fmt: skip
def test_gradient_off_by_a_part_in_1e12_is_noticed(name, place):
    rng, backward = np.random.default_rng(0), f"{name}_backward"
    faulty = SimpleNamespace(**vars(ops) | {backward: off(getattr(ops, backward), place)})
    with pytest.raises(AssertionError, match="times the bound"):
        check(name, Subject(faulty, "float64"), rng, *example(name, rng))


@pytest.mark.parametrize(("name", "constant", "wrong"), [
    ("layernorm", "EPS", 1e-6), ("gelu", "CUBIC", 0.044716), ("gelu", "SLOPE", 0.79788),
    ("cross_entropy", "IGNORED", 0),
])  # fmt: skip
def test_wrong_constant_is_noticed(monkeypatch, name, constant, wrong):
    rng = np.random.default_rng(0)
    monkeypatch.setattr(f"minigpt.ops.{name}.{constant}", wrong)
    with pytest.raises(AssertionError, match="times the bound"):
        check(name, Subject(ops, "float64"), rng, *example(name, rng))
