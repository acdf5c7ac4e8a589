"""What holds for every op alike. That backward is forward's derivative stands in each op's own file."""

import numpy as np
import pytest
from hypothesis import given

from minigpt import ops
from tests.support.complex_step import derivative, magnitudes
from tests.support.examples import FIXED, OPS, sizes
from tests.support.proofs import (
    check_float32,
    check_no_overflow,
    check_pure,
    check_shapes,
    check_value,
    gradient_error,
)
from tests.support.tables import reference_table


def test_every_op_has_an_example():
    assert sorted(ops.__all__) == sorted(f"{op}_{way}" for op in OPS for way in ("forward", "backward"))


@pytest.mark.parametrize("op", OPS)
@given(s=sizes())
def test_forward_is_its_equation(op, s):
    check_value(op, ops, s)


@pytest.mark.parametrize("op", OPS)
@given(s=sizes())
def test_every_float_argument_has_a_gradient_of_its_shape(op, s):
    check_shapes(op, ops, s)


@pytest.mark.parametrize("op", OPS)
@given(s=sizes())
def test_nothing_is_written_to(op, s):
    check_pure(op, ops, s)


@pytest.mark.parametrize("op", OPS)
@given(s=sizes())
def test_float32_stays_float32(op, s):
    check_float32(op, ops, s)


@pytest.mark.parametrize("op", OPS)
@given(s=sizes())
def test_huge_numbers_do_not_overflow(op, s):
    check_no_overflow(op, ops, s)


@pytest.mark.parametrize("op", OPS)
def test_a_gradient_wrong_by_one_part_in_a_billion_is_seen(op):
    backward = getattr(ops, f"{op}_backward")
    table = reference_table(**{f"{op}_backward": lambda dy, cache: slightly_off(backward(dy, cache))})
    assert gradient_error(op, table, FIXED[0]) > 1e-11


def slightly_off(gradients):
    """The gradients with the first one too large by one part in a billion."""
    if not isinstance(gradients, tuple):
        return gradients * (1 + 1e-9)
    return (gradients[0] * (1 + 1e-9), *gradients[1:])


def test_complex_step_of_a_known_slope():
    assert derivative(np.exp, np.array(1.0), 1.0) == np.exp(1.0)
    assert derivative(lambda x: x**3, np.array(2.0), 1.0) == 12.0


def test_magnitudes_add_where_numbers_cancel():
    a, b = magnitudes(np.array([3.0, -2.0])), magnitudes(np.array([2.0, 2.0]))
    assert (a - b).tolist() == [5.0, 4.0]
    assert (1 - a * b).tolist() == [7.0, 5.0]
    assert float(a @ -b) == 10.0
    assert (a - a.mean()).tolist() == [5.5, 4.5]
