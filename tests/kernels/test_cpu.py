"""Every CPU kernel against the float64 reference, within n * u * sum of |terms| (see terms.py)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigpt import kernels, ops, optim
from minigpt.kernels import cpu
from tests.kernels import terms

UNIT = np.finfo(np.float32).eps / 2
PAIRS = sorted(name.removesuffix("_forward") for name in ops.__all__ if name.endswith("_forward"))


def reference(name):
    return getattr(ops, name, None) or getattr(optim, name)


def draw_inputs(pair, rng, B, T, H, C, F, V):
    """Random arguments of a pair's forward: (float arrays by place, all arguments)."""

    def normal(*shape):
        return rng.normal(0.3, 1, shape).astype(np.float32)

    targets = rng.integers(0, V, (B, T))
    targets.reshape(-1)[rng.integers(0, B * T, B * T // 3)] = -1
    targets[0, 0] = 0  # one is always scored
    return {
        "attention": (normal(B, T, 3 * C * H), H),
        "cross_entropy": (5 * normal(B, T, V), targets),
        "embedding": (rng.integers(0, V, (B, T)), normal(V, C), normal(T + 2, C)),
        "gelu": (3 * normal(B, T, F),),
        "layernorm": (normal(B, T, C), normal(C), normal(C)),
        "linear": (normal(B, T, C), normal(C, F), normal(F)),
        "unembedding": (normal(B, T, C), normal(V, C)),
    }[pair]


def wide(arguments):
    """Arguments with float32 arrays as float64."""
    return [a.astype(np.float64) if getattr(a, "dtype", None) == np.float32 else a for a in arguments]


def copies(arguments):
    """Arguments that a kernel may write over."""
    return [a.copy() if isinstance(a, np.ndarray) else a for a in arguments]


def assert_close(name, found, expected, bound):
    """Each result is within n * u * sum of |terms| of the float64 one."""
    n, sums = bound
    for place, (f, e, s) in enumerate(zip(found, expected, sums, strict=True)):
        f = np.zeros_like(e, dtype=np.float32) + f  # makes a RowGradient dense
        assert f.dtype == np.float32, (name, place)
        assert f.shape == e.shape, (name, place)
        excess = np.abs(f - e) - (n * UNIT * s + np.finfo(np.float32).tiny)
        assert (excess <= 0).all(), f"{name}, result {place}: off by {excess.max():.3g} more than its bound"


def as_tuple(value):
    return value if isinstance(value, tuple) else (value,)


sizes = st.sampled_from([1, 2, 3, 5])
times = st.sampled_from([1, 2, 7, 64, 129, 300])


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("pair", PAIRS)
@given(seed=st.integers(0, 2**32), B=sizes, T=times, H=sizes, C=st.sampled_from([2, 3, 48]), V=sizes)
def test_pair_is_the_reference_within_its_bound(pair, threads, seed, B, T, H, C, V):
    rng = np.random.default_rng(seed)
    table = kernels.table("fast", "float32", threads)
    forward, backward = f"{pair}_forward", f"{pair}_backward"
    arguments = draw_inputs(pair, rng, B, T, H, C, F=4 * C, V=V + 1)

    with table.session():
        found, cache = getattr(table, forward)(*copies(arguments))
        found = found.copy()  # backward may write over what it is given
        expected, expected_cache = getattr(ops, forward)(*wide(arguments))
        if pair != "embedding":  # its forward is the reference's own
            assert_close(forward, (found,), (expected,), getattr(terms, forward)(*wide(arguments)))

        dout = 0.7 if pair == "cross_entropy" else rng.normal(0.1, 1, found.shape).astype(np.float32)
        grads = as_tuple(getattr(table, backward)(*copies([dout]), cache))
        expected_grads = as_tuple(getattr(ops, backward)(*wide([dout]), expected_cache))
        bound = getattr(terms, backward)(*wide([dout]), *wide(arguments))
        assert_close(backward, grads, expected_grads, bound)


@pytest.mark.parametrize("threads", [1, 2, 3])
@given(seed=st.integers(0, 2**32), size=st.sampled_from([1, 100, 300_001]), step=st.integers(1, 1000))
def test_optimizer_is_the_reference_within_its_bound(threads, seed, size, step):
    rng = np.random.default_rng(seed)
    table = kernels.table("fast", "float32", threads)
    params, grads, first = (rng.normal(0, 1, size).astype(np.float32) for _ in range(3))
    second = rng.uniform(0.5, 2, size).astype(np.float32)
    rest = {
        "step": step, "scale": 0.37, "n_decayed": size // 2, "lr": 1e-2,
        "betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": 0.1,
    }  # fmt: skip
    arrays = (params, grads, first, second)
    found = table.adamw(*copies(arrays), **rest)
    assert_close("adamw", found, optim.adamw(*wide(arrays), **rest), terms.adamw(*wide(arrays), **rest))
    norm = (np.asarray(table.global_norm(grads)),)
    expected = (np.asarray(optim.global_norm(*wide([grads]))),)
    assert_close("global_norm", norm, expected, terms.global_norm(*wide([grads])))


def test_every_kernel_has_its_terms_and_stands_for_a_reference_function():
    for name in cpu.KERNELS:
        assert callable(reference(name)), name
        assert hasattr(terms, name), name


def test_optimizer_writes_over_what_it_was_given():
    table = kernels.table("fast", "float32", 2)
    arrays = [np.ones(10, np.float32) for _ in range(4)]
    rest = {"step": 1, "scale": 1.0, "n_decayed": 5, "lr": 0.1, "betas": (0.9, 0.95), "eps": 1e-8}
    found = table.adamw(*arrays, **rest, weight_decay=0.1)
    assert [a is b for a, b in zip(found, (arrays[0], *arrays[2:]), strict=True)] == [True] * 3


def test_two_threads_give_the_same_bits_every_time():
    rng = np.random.default_rng(0)
    table = kernels.table("fast", "float32", 2)
    qkv = rng.normal(size=(2, 200, 3 * 64)).astype(np.float32)
    dy = rng.normal(size=(2, 200, 64)).astype(np.float32)
    results = set()
    with table.session():
        for _ in range(5):
            y, cache = table.attention_forward(qkv, 4)
            _, tail = table.layernorm_forward(y, dy[0, 0], dy[0, 1])
            dx, dgain, dbias = table.layernorm_backward(dy.copy(), tail)
            results.add(
                (y.tobytes(), table.attention_backward(dx, cache).tobytes(), dgain.tobytes(), dbias.tobytes())
            )
    assert len(results) == 1
