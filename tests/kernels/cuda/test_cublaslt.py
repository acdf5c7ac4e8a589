"""cublasLt's arguments: as its documentation defines them, they must make each epilogue in every layout."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigpt.ops.gelu import gelu_backward, gelu_forward
from tests.kernels.cuda.test_gemm import KINDS, UNIT, error_bound, laid_out, layouts, sizes
from tests.support.cuda import fake_cublaslt

BF16, FP32 = np.dtype(ml_dtypes.bfloat16), np.dtype(np.float32)
TANH = 2.0**-10  # tanh.approx.f32 is exact to 2**-11, and cublasLt may use it
STEEPEST = 1.13  # gelu's slope is never more


class Case:
    """Arrays of one product on the device, and in float64."""

    def __init__(self, bench, M, N, K, kind, of_a="rows", of_b="rows", wide=False):
        rng, self.cupy, self.lt = np.random.default_rng(M), bench.cupy, bench.module("cublaslt")
        self.result = FP32 if wide else kind
        host = {
            name: rng.normal(size=shape).astype(dtype)
            for name, shape, dtype in (
                ("a", (M, K), kind), ("b", (K, N), kind), ("added", (M, N), self.result),
                ("bias", N, self.result), ("aux", (M, N), self.result),
            )
        }  # fmt: skip
        ways = {"a": of_a, "b": of_b}
        self.device = {name: bench.put(x) for name, x in host.items()}
        self.device |= {name: laid_out(bench.cupy, host[name], way) for name, way in ways.items()}
        self.exact = {name: x.astype(np.float64) for name, x in host.items()}
        self.out = bench.cupy.zeros((M, N), self.result)

    def product(self, epilogue, *names, beta=0.0, **options):
        given = {name: self.device[name] for name in names}
        return self.lt.product(
            self.device["a"], self.device["b"], self.out, epilogue=epilogue, beta=beta, **given, **options
        )

    def before_it_is_finished(self, beta=0.0, bias=False):
        """a @ b + beta * added + bias, and how far from it the stored may be."""
        a, b, added = (self.exact[name] for name in ("a", "b", "added"))
        shift = bias * self.exact["bias"]
        bound = error_bound(a, b, 1, beta, added, self.result)
        return a @ b + beta * added + shift, bound + 4 * UNIT[self.result] * abs(shift)

    def found(self, array):
        return array.get().astype(np.float64)


def within(found, expected, bound):
    assert (abs(found - expected) <= bound).all()


@given(sizes, sizes, sizes, layouts, layouts, st.sampled_from(KINDS), st.sampled_from([0.0, 1.0]))
def test_bias(bench, M, N, K, of_a, of_b, kind, beta):
    case = Case(bench, M, N, K, kind, of_a, of_b)
    if beta == 0:
        case.device["added"][...] = np.nan  # what is not read cannot spoil the result
    assert case.product("BIAS", "added", "bias", beta=beta)
    within(case.found(case.out), *case.before_it_is_finished(beta, bias=True))


@given(sizes, sizes, sizes, layouts, layouts, st.sampled_from(KINDS))
def test_gelu_and_what_goes_into_it(bench, M, N, K, of_a, of_b, kind):
    case = Case(bench, M, 8 * N, K, kind, of_a, of_b)
    case.device["aux"][...] = np.nan
    assert case.product("GELU_AUX_BIAS", "bias", "aux")
    expected, bound = case.before_it_is_finished(bias=True)
    within(case.found(case.device["aux"]), expected, bound)
    active = gelu_forward(expected)[0]
    within(case.found(case.out), active, STEEPEST * bound + (TANH + UNIT[kind]) * abs(expected))


@given(sizes, sizes, sizes, layouts, layouts, st.sampled_from(KINDS))
def test_slope_of_gelu(bench, M, N, K, of_a, of_b, kind):
    case = Case(bench, M, 8 * N, K, kind, of_a, of_b)
    assert case.product("DGELU", "aux")
    dy, bound = case.before_it_is_finished()
    expected = gelu_backward(dy, gelu_forward(case.exact["aux"])[1])
    within(case.found(case.out), expected, STEEPEST * bound + (8 * TANH + UNIT[kind]) * abs(dy))


@given(sizes, sizes, sizes, layouts, layouts, st.sampled_from(KINDS), st.sampled_from([0.0, 1.0]))
def test_sums_of_columns(bench, M, N, K, of_a, of_b, kind, beta):
    case = Case(bench, M, N, K, kind, of_a, of_b, wide=True)
    case.out[...] = case.device["added"]
    assert case.product("BGRADA", "bias", beta=beta)
    within(case.found(case.out), *case.before_it_is_finished(beta))
    b = case.exact["b"]
    within(case.found(case.device["bias"]), b.sum(axis=0), K * 2.0**-24 * abs(b).sum(axis=0))


def test_tf32_is_an_option(bench):
    case = Case(bench, 1, 1, 1, FP32)
    case.device["a"][...] = case.device["b"][...] = 1 + 2.0**-12
    case.device["bias"][...] = 0.0
    assert case.product("BIAS", "bias")
    assert case.found(case.out) == np.float32((1 + 2.0**-12) ** 2)
    assert case.product("BIAS", "bias", compute=bench.module("gemm").TF32)
    assert case.found(case.out) == 1


def test_what_does_not_lie_as_it_must_is_left_alone(bench):
    case = Case(bench, 3, 16, 5, FP32)
    case.device["bias"] = bench.odd(np.ones(16, np.float32))
    assert not case.product("BIAS", "bias")
    case = Case(bench, 3, 12, 5, FP32)
    assert not case.product("GELU_AUX_BIAS", "bias", "aux")
    assert not case.product("DGELU", "aux")
    assert not case.found(case.out).any()


# What only the stand-in shows ------------------------------------------------------------------------------


@pytest.fixture
def asked(bench, monkeypatch):
    """The kinds of products for which an algorithm was asked, none kept from before."""
    bench.module("cublaslt").plan_of.cache_clear()
    questions, answer = [], fake_cublaslt.matmul_algo_get_heuristic

    def written_down(*arguments):
        questions.append(arguments[1])
        return answer(*arguments)

    monkeypatch.setattr(fake_cublaslt, "matmul_algo_get_heuristic", written_down)
    return questions


@pytest.mark.emulation
def test_an_algorithm_is_asked_for_once_for_each_kind_of_product(bench, asked):
    for _ in range(2):
        case = Case(bench, 4, 8, 5, BF16)  # other arrays, of the same shapes
        assert case.product("BIAS", "bias")
    assert len(asked) == 1
    case.product("DGELU", "aux")
    case.device["a"] = bench.odd(case.device["a"].get())
    case.product("DGELU", "aux")  # less aligned: another algorithm, which asks for no more
    assert len(asked) == 3


@pytest.mark.emulation
def test_where_there_is_no_algorithm_nothing_happens(bench, asked, monkeypatch):
    monkeypatch.setattr(fake_cublaslt, "REFUSE", {"BIAS"})
    case = Case(bench, 4, 8, 5, BF16)
    refused = len(case.lt.REFUSED)
    assert not case.product("BIAS", "bias")
    assert not case.product("BIAS", "bias")
    assert not case.found(case.out).any()
    assert len(asked) == 1
    assert [kind.epilogue for kind in case.lt.REFUSED[refused:]] == ["BIAS"]
    bench.module("cublaslt").plan_of.cache_clear()


@pytest.mark.emulation
def test_an_answer_that_says_of_itself_that_it_is_none_is_none(bench, asked, monkeypatch):
    monkeypatch.setattr(fake_cublaslt, "UNUSABLE", {"BIAS"})
    assert not Case(bench, 4, 8, 5, BF16).product("BIAS", "bias")
    bench.module("cublaslt").plan_of.cache_clear()


@pytest.mark.emulation
def test_a_product_is_put_on_the_current_stream(bench, monkeypatch):
    case = Case(bench, 4, 8, 5, BF16)
    stream = type("Stream", (), {"ptr": 77})
    monkeypatch.setattr(bench.cupy.cuda, "get_current_stream", lambda: stream)
    assert case.product("BIAS", "bias")
    assert fake_cublaslt.STREAMS[-1] == 77


@pytest.mark.emulation
def test_another_error_is_none_to_go_on_from(bench, asked, monkeypatch):
    def broken(*arguments):
        raise fake_cublaslt.cuBLASLtError(14, "internal")

    monkeypatch.setattr(fake_cublaslt, "matmul_algo_get_heuristic", broken)
    with pytest.raises(fake_cublaslt.cuBLASLtError):
        Case(bench, 4, 8, 5, BF16).product("BIAS", "bias")
