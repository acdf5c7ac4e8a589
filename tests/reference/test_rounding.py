"""The bounds of reference.scalar.rounding must hold: checked against exact fractions."""

import math
import random
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference.scalar import rounding
from reference.scalar.rounding import DOUBLE, SINGLE, exact

UNIT = 2.0**-53
numbers = st.builds(math.copysign, st.floats(1e-3, 1e3), st.sampled_from([-1, 1]))
some = st.lists(numbers, min_size=2, max_size=12)


def within(rounded, truth, programs=1):
    """Is the value of one program within its share of the bound, which is for 4?"""
    return abs(Fraction(rounded.value) - truth) <= programs * Fraction(UNIT) * Fraction(rounded.error)


@given(some, some)
def test_dot_product(left, right):
    rounded = sum(exact(x) * exact(y) for x, y in zip(left, right, strict=False))
    truth = sum(Fraction(x) * Fraction(y) for x, y in zip(left, right, strict=False))
    assert within(rounded, truth)


@given(some)
def test_an_error_that_cancellation_lays_bare_is_followed_through_a_quotient(xs):
    mean = sum(map(exact, xs)) / len(xs)
    left = (exact(xs[0]) - mean) / 3
    truth = (Fraction(xs[0]) - sum(map(Fraction, xs)) / len(xs)) / 3
    assert within(left, truth)


@given(numbers, numbers, numbers)
def test_quotient_of_rounded_numbers(a, b, c):
    rounded = (exact(a) * b) / (exact(b) * c)
    assert within(rounded, Fraction(a) / Fraction(c))


def cosine(x):
    """The first terms of cos x = sum of (-x^2)^k / (2k)!, as an exact fraction."""
    return sum((-(Fraction(x) ** 2)) ** k / math.factorial(2 * k) for k in range(40))


TRUTH = {  # 28 digits
    "exp": Decimal.exp,
    "log": Decimal.ln,
    "sqrt": Decimal.sqrt,
    "tanh": lambda x: 1 - 2 / ((2 * x).exp() + 1),
    "cos": cosine,
}


@pytest.mark.parametrize("name", TRUTH)
@given(x=st.floats(0.01, 20))
def test_functions_pass_an_incoming_error_on(name, x):
    third = exact(x) / 3
    rounded = getattr(rounding, name)(third)
    assert within(rounded, Fraction(TRUTH[name](Decimal(x) / 3)))


@given(some, st.randoms())
def test_any_order_of_a_sum_is_within_the_bound(terms, rng):
    bound = sum(map(exact, terms)).bound()
    shuffled = random.Random(rng.random()).sample(terms, len(terms))
    assert abs(sum(shuffled) - math.fsum(terms)) <= bound


def test_a_sum_has_the_textbook_bound_and_no_more():
    terms = [1.0, -1.0, 0.5, 2.0**-60]
    rounded = sum(map(exact, terms))  # from 0: four additions
    assert math.isclose(rounded.bound(), 4 * 4 * UNIT * math.fsum(map(abs, terms)), rel_tol=1e-15)
    assert math.isclose(rounded.bound(SINGLE), rounded.bound() * 2**29, rel_tol=1e-15)
    assert exact(3.0).bound() == DOUBLE[1]


def test_floats_stay_floats():
    assert rounding.exp(1.0) == math.exp(1.0)
    assert rounding.sqrt(2.0) == math.sqrt(2.0)


def test_bounds_and_values_follow_the_nesting():
    table = rounding.exactly([[1.0, 2.0], [3.0, 4.0]])
    assert rounding.values(table) == [[1.0, 2.0], [3.0, 4.0]]
    assert rounding.bounds(table) == [[DOUBLE[1]] * 2] * 2
