"""What is claimed of every op. tests/ops applies it to the ops, tests/mutants to broken copies of them."""

import functools

import numpy as np

from tests.support import equations
from tests.support.complex_step import backward_errors, in_tuple, is_float
from tests.support.device_array import DeviceArray, on_device, on_host
from tests.support.examples import arguments

# A sum of n terms evaluated in any order is off by less than n * u * sum |terms|, with u = 1.1e-16 the unit
# roundoff. No value of an op on our sizes is a sum of more than 100 terms, each after up to 10 roundings (and
# scores, whose absolute error is a relative one of exp, stay below 100): 1000 u = 1.1e-13.
VALUE = 1.1e-13
GRADIENT = 1e-12  # TRUST: the same for a gradient, through a few more sums


def forward_and_backward(op, table):
    """The pair of functions called op in a table or module."""
    return getattr(table, f"{op}_forward"), getattr(table, f"{op}_backward")


def value_error(op, table, s):
    """How far forward is from its equation, relative to the largest value."""
    forward, _ = forward_and_backward(op, table)
    expected = expected_value(op, s)
    found = forward(*arguments(op, s))[0]
    assert np.shape(found) == expected.shape, f"{op}: {expected.shape} expected, {np.shape(found)} found"
    return np.max(np.abs(found - expected)) / max(1.0, np.max(np.abs(expected)))


@functools.cache
def expected_value(op, s):
    """What forward should give, by the op's equation."""
    return getattr(equations, op)(*arguments(op, s))


def gradient_error(op, table, s):
    """How far backward is from the complex-step derivative of forward: the worst argument's error."""
    functions = forward_and_backward(op, table)
    return np.max(backward_errors(*functions, arguments(op, s), np.random.default_rng(s.seed)))


def check_value(op, table, s):
    """forward is its equation."""
    error = value_error(op, table, s)
    assert error <= VALUE, f"{op}_forward is {error:.1e} from its equation at {s}"


def check_gradients(op, table, s):
    """backward is forward's derivative, argument by argument."""
    error = gradient_error(op, table, s)
    assert error <= GRADIENT, f"{op}_backward is {error:.1e} from the complex-step derivative at {s}"


def check_shapes(op, table, s):
    """Every float argument has a gradient, of its shape, and nothing else has."""
    forward, backward = forward_and_backward(op, table)
    given = arguments(op, s)
    y, cache = forward(*given)
    gradients = in_tuple(backward(np.ones_like(y), cache))
    expected = [argument.shape for argument in given if is_float(argument)]
    assert [gradient.shape for gradient in gradients] == expected


def check_pure(op, table, s):
    """Neither function writes to an argument, to the gradient that came in, or to the cache."""
    forward, backward = forward_and_backward(op, table)
    given = arguments(op, s)
    before = snapshot(given)
    y, cache = forward(*given)
    dy = np.ones_like(y)
    kept = snapshot((y, cache, dy))
    backward(dy, cache)
    assert snapshot(given) == before, f"{op}: an argument was written to"
    assert snapshot((y, cache, dy)) == kept, f"{op}_backward wrote to what it was given"


def check_float32(op, table, s):
    """float32 in, float32 out: no constant or integer on the way widens the result, the cache, a gradient."""
    forward, backward = forward_and_backward(op, table)
    y, cache = forward(*arguments(op, s, "float32"))
    gradients = backward(np.asarray(y) * np.float32(0.5), cache)
    for array in arrays_in((y, cache, gradients)):
        assert array.dtype.kind in "iub" or array.dtype == np.float32, f"{op}: {array.dtype} {array.shape}"


def check_device(op, table, s):
    """Device arrays in, the same bits out, and nothing left on the host (see device_array.py)."""
    forward, backward = forward_and_backward(op, table)
    given = arguments(op, s)
    y, cache = forward(*given)
    dy = np.asarray(y) + 1
    expected = (y, cache, backward(dy, cache))
    device_y, device_cache = forward(*on_device(given))
    found = (device_y, device_cache, backward(on_device(dy), device_cache))
    assert all(type(leaf) is DeviceArray for leaf in leaves(found))
    assert snapshot(on_host(found)) == snapshot(expected)


def check_no_overflow(op, table, s):
    """Numbers a quadrillion times as large still give finite results and gradients."""
    forward, backward = forward_and_backward(op, table)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        y, cache = forward(*arguments(op, s._replace(scale=1e15)))
        gradients = backward(np.ones_like(y), cache)
    assert all(np.isfinite(array).all() for array in arrays_in((y, gradients)))


def arrays_in(value):
    """Every array in a value, however deep in tuples."""
    return [np.asarray(leaf) for leaf in leaves(value)]


def leaves(value):
    """Everything in a value that is not a tuple, however deep in tuples."""
    return [leaf for part in value for leaf in leaves(part)] if isinstance(value, tuple) else [value]


def snapshot(value):
    """What every array in a value holds, byte for byte."""
    return [(array.dtype.str, array.shape, array.tobytes()) for array in arrays_in(value)]


CHECKS = (
    check_value,
    check_gradients,
    check_shapes,
    check_pure,
    check_float32,
    check_device,
    check_no_overflow,
)
