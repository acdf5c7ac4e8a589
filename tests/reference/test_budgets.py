"""reference/rounding_modes.py and budgets.py: right on the bits, and wide enough for every honest program.

Honest are torch in float64, float32, bfloat16 and float16, with autograd's own backward; minigpt's float32
kernels; torch's fused attention; NumPy in float32; products of tf32 numbers rounded half away from zero.
"""

import itertools
import math
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigpt
from reference.budgets import MODES, SURE, Emulated, Ledger, budgets, excess
from reference.llmc import Exact, Inputs, Sizes, run
from reference.llmc.parameters import from_hub, to_hub
from reference.rounding_modes import FORMATS, nearest, stochastic
from tests.support.questions import SMALL, inputs

# Rounding ----------------------------------------------------------------------------------------------

bits = st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=50)
SHORT = ("tf32", "bf16", "fp16")


def same(x, y):
    """Equal, NaN included."""
    return bool(((x == y) | (np.isnan(x) & np.isnan(y))).all())


@settings(max_examples=200)
@given(bits)
def test_nearest_is_what_the_types_of_others_do(words):
    x = np.array(words, np.uint32).view(np.float32)
    with np.errstate(all="ignore"):
        assert same(nearest(x, "bf16"), x.astype(ml_dtypes.bfloat16).astype(np.float32))
        assert same(nearest(x, "fp16"), x.astype(np.float16).astype(np.float32))
        assert same(nearest(x, "float32"), x)


def neighbours(x, name):
    """The two numbers of a format around a finite number, by rational arithmetic."""
    f, value = FORMATS[name], Fraction(float(x))
    least = round(math.log2(f.smallest))
    exponent = max(math.frexp(float(x))[1] - 1, least) if x else least
    step = Fraction(2) ** exponent * Fraction(2 * f.unit)
    return value // step * step, (value // step + 1) * step, step


finite = st.floats(-1e4, 1e4, width=32)


@settings(max_examples=200)
@given(finite, st.sampled_from(SHORT))
def test_nearest_is_the_nearer_neighbour_and_even_in_the_middle(x, name):
    below, above, step = neighbours(x, name)
    found = Fraction(float(nearest(np.float32(x), name)))
    offset = Fraction(x) - below
    if 2 * offset == step:
        assert found in (below, above)
        assert (found / step) % 2 == 0
    else:
        assert found == (below if 2 * offset < step else above)


@given(finite, st.sampled_from(SHORT), st.integers(0, 2**32 - 1))
def test_stochastic_is_one_of_the_neighbours_and_right_on_average(x, name, seed):
    below, above, step = neighbours(x, name)
    draws = stochastic(np.full(4000, x, np.float32), name, np.random.default_rng(seed)).astype(float)
    fraction = float((Fraction(x) - below) / step)
    assert set(np.unique(draws)) <= {float(below), float(above)}
    up = float((draws == float(above)).mean())
    assert abs(up - fraction) <= 5 * math.sqrt(fraction * (1 - fraction) / 4000) + 2e-3 * (0 < fraction < 1)
    # the claim that the budgets rest upon: no less than the squared error of nearest
    off = float(nearest(np.float32(x), name)) - x
    assert fraction * (1 - fraction) * float(step) ** 2 >= off * off * (1 - 1e-12)


def test_float32_moves_one_number_in_six_by_one_place():
    x = np.random.default_rng(0).normal(size=100_000).astype(np.float32)
    moved = stochastic(x, "float32", np.random.default_rng(1))
    places = (moved - x) / np.spacing(np.abs(x))
    assert set(np.unique(np.round(places, 1))) <= {-1.0, -0.5, 0.0, 0.5, 1.0}
    assert abs(np.mean(places != 0) - 1 / 6) < 0.01
    assert (stochastic(np.zeros(100, np.float32), "float32", np.random.default_rng(1)) == 0).all()


# The bound ---------------------------------------------------------------------------------------------


@given(st.floats(1, 1e6), st.integers(2, 64), st.floats(1e-9, 0.5))
def test_excess_solves_its_equation_and_shrinks_with_more_to_go_by(n, runs, p):
    c = excess(n, runs, p)
    assert math.isclose((runs + 1) * math.log((runs + c) / (runs + 1)) - math.log(c), 2 / n * math.log(1 / p),
                        rel_tol=1e-6, abs_tol=1e-9)  # fmt: skip
    assert excess(2 * n, runs, p) <= c
    assert excess(n, 2 * runs, p) <= c * (1 + 1e-9)


@pytest.mark.parametrize("n", [1, 3, 30])
@pytest.mark.parametrize("runs", [4, 16])
def test_normal_errors_exceed_the_bound_no_more_often_than_said(n, runs):
    rng, p = np.random.default_rng(0), 1e-2
    square, estimate = rng.chisquare(n, 200_000), rng.chisquare(n * runs, 200_000) / runs
    assert np.mean(square > excess(n, runs, p) * estimate) <= p


def test_degrees_of_freedom_tell_one_error_from_many():
    """One number that moves all entries together has one degree; entries that go their ways have as many."""
    rng, size, runs = np.random.default_rng(0), 500, 16
    for errors, low, high in (
        (rng.normal(size=(runs, 1)) * np.ones(size), 1, 1.6),
        (rng.normal(size=(runs, size)), 250, 1000),
    ):
        ledger = Ledger(np.ones(size), runs)
        for place, error in enumerate(errors):
            ledger.enter(error, place)
        assert low <= ledger.degrees(ledger.squares.mean()) <= high


def test_a_budget_is_the_formula_and_no_wider():
    """500 independent errors, 16 runs: n lies between 250 and 1000, as above; of the largest all is known."""
    rng, size, runs = np.random.default_rng(0), 500, 16
    errors, ledger = rng.normal(size=(runs, size)), Ledger(np.ones(size), runs)
    for place, error in enumerate(errors):
        ledger.enter(error, place)
    budget, mean = ledger.budget(0.0, (2.0**-24, 2.0**-126)), (errors**2).sum(axis=1).mean()
    assert 2 * math.sqrt(excess(1000, runs) * mean) <= budget.norm <= 2 * math.sqrt(excess(250, runs) * mean)
    z = math.sqrt(2 * math.log(2 * size / SURE))
    rms = np.sqrt((errors**2).mean(axis=0).max())
    assert math.isclose(budget.largest, 2 * z * rms, rel_tol=1e-6)


def test_no_budget_is_smaller_than_two_roundings():
    ledger = Ledger(np.full(4, 3.0), 2)
    for place in range(2):
        ledger.enter(np.zeros(4), place)
    assert ledger.budget(0.0, (2.0**-8, 0.0)) == (0.0, 2 * 2.0**-8 * 6, 2 * 2.0**-8 * 3)


# Honest programs ---------------------------------------------------------------------------------------

WIDER = Sizes(L=2, H=4, D=8, V=150, N=16, B=2, T=12)


def shares(tensors, exact, budget):
    """The share of the budget that each tensor of an honest program uses, by norm or by the largest entry."""
    used = {}
    for key, tensor in tensors.items():
        error = tensor.astype(np.float64) - exact[key]
        by_entry = np.abs(error).max() / budget[key].largest
        used[key] = max(np.linalg.norm(error) / budget[key].norm, by_entry)
    return used


class Plain(Exact):
    """NumPy in float32, as it comes."""

    def load(self, key, parameter):
        return parameter.astype(np.float32)


class HalfAway(Plain):
    """Factors in tf32, rounded half away from zero and not to even."""

    def matmul(self, x, y):
        return self.short(x) @ self.short(y)

    def short(self, x):
        mantissa, exponent = np.frexp(x)
        scaled = np.ldexp(mantissa, 11)
        return np.ldexp(np.copysign(np.floor(np.abs(scaled) + 0.5), x), exponent - 11).astype(np.float32)


@pytest.mark.parametrize("sizes", [SMALL, WIDER], ids=["small", "wider"])
@pytest.mark.parametrize(
    ("mode", "arithmetic"), [("fp32", Plain()), ("tf32", HalfAway())], ids=["fp32", "tf32"]
)
def test_plain_numpy_is_within_budget_and_uses_some_of_it(sizes, mode, arithmetic):
    for seed in range(2):
        question = inputs(sizes, seed, ignored=True)
        exact = run(question)
        used = shares(run(question, arithmetic), exact, budgets(question, mode, exact))
        assert max(used.values()) <= 1
        assert max(used.values()) > 0.05


TYPES = {"fp64": "float64", "fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


@pytest.mark.parametrize("sizes", [SMALL, WIDER], ids=["small", "wider"])
@pytest.mark.parametrize("mode", TYPES)
def test_torch_is_within_budget_and_as_far_off_as_expected(sizes, mode):
    torch = pytest.importorskip("torch", reason="torch is not installed; NumPy stands in above")
    from tests.support import torch_llmc

    for seed in range(2):
        question = inputs(sizes, seed)
        exact = run(question)
        theirs, budget = torch_llmc.run(question, getattr(torch, TYPES[mode])), budgets(question, mode, exact)
        assert max(shares(theirs, exact, budget).values()) <= 1
        ratios = [np.linalg.norm(theirs[key] - exact[key]) / budget[key].expected
                  for key in theirs if budget[key].expected]  # fmt: skip
        assert 0.5 <= np.median(ratios) <= 2


def config_of(sizes):
    words = {"n_layer": sizes.L, "n_head": sizes.H, "n_embd": sizes.C, "n_ctx": sizes.N, "n_vocab": sizes.V}
    return minigpt.GPTConfig(**words)


def in_float32(question):
    """The parameters as a float32 program has them, under the hub's names."""
    return {name: np.ascontiguousarray(p, np.float32) for name, p in to_hub(question.params).items()}


def gradients_by_key(loss, logits, grads, sizes):
    """What a program that keeps no activations says, by key."""
    by_key = {(f"d{name}", layer): g for (name, layer), g in from_hub(grads, sizes.L).items()}
    return by_key | {("loss", None): np.asarray(loss), ("logits", None): logits}


def test_minigpts_kernels_are_within_budget():
    for seed in range(2):
        question = inputs(WIDER, seed, ignored=True)
        config, params, exact = config_of(WIDER), in_float32(question), run(question)
        loss, grads = minigpt.loss_and_grads(config, params, question.tokens, question.targets)
        logits = minigpt.logits(config, params, question.tokens)
        assert logits.dtype == np.float32
        ours = gradients_by_key(loss, logits, grads, WIDER)
        assert max(shares(ours, exact, budgets(question, "fp32", exact)).values()) <= 1


def test_torchs_fused_attention_is_within_budget():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from reference import torch_twin

    question, kind = inputs(WIDER), {"dtype": torch.float32, "attention": "fused"}
    config, params, exact = config_of(WIDER), in_float32(question), run(question)
    loss, grads = torch_twin.loss_and_grads(config, params, question.tokens, question.targets, **kind)
    logits = torch_twin.logits(config, params, question.tokens, **kind)
    theirs = gradients_by_key(loss, logits, grads, WIDER)
    assert max(shares(theirs, exact, budgets(question, "fp32", exact)).values()) <= 1


def test_a_shorter_format_has_a_wider_budget():
    question = inputs(WIDER)
    exact = run(question)
    norms = [{key: b.norm for key, b in budgets(question, mode, exact, runs=4).items()} for mode in MODES]
    for narrow, wide in itertools.pairwise(norms[:3]):  # fp64 < fp32 < tf32
        assert all(narrow[key] <= wide[key] for key in exact if key[0] not in ("dlosses", "encoded"))
    assert all(norms[1][key] < norms[3][key] for key in exact if key[0] != "dlosses")  # fp32 < bf16


def test_what_overflows_has_no_bound():
    question = inputs(SMALL)
    loud = Inputs(SMALL, {key: param * 300 for key, param in question.params.items()}, question.tokens,
                  question.targets)  # fmt: skip
    with np.errstate(all="ignore"):
        found = budgets(loud, "fp16", runs=2)
    assert math.isinf(found["fch_gelu", 1].norm)


def test_equal_seeds_make_equal_budgets():
    question = inputs(SMALL)
    assert budgets(question, "bf16", runs=3) == budgets(question, "bf16", runs=3)


def test_emulated_to_nearest_has_no_chance_in_it():
    question = inputs(SMALL)
    one, other = (run(question, Emulated("bf16")) for _ in range(2))
    assert all((one[key] == other[key]).all() for key in one)
    for key, tensor in one.items():
        if not key[0].endswith(("_mean", "_rstd", "losses", "loss", "probs")):
            assert (np.asarray(tensor) == np.asarray(tensor).astype(ml_dtypes.bfloat16)).all(), key
