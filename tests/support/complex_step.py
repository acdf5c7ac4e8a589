"""Derivatives without differences (Squire & Trapp 1998, SIAM Review 40(1)), and the size of their terms.

For an analytic f, f(x + ih v) = f(x) + ih <f'(x), v> - O(h^2): the imaginary part over h is the slope along
v. Nothing is subtracted, so h may be so small that h^2 vanishes, and the slope is exact to rounding.

Rounding is small beside the *terms* of a sum, not beside the sum: for C = 2 channels the gradient of
layernorm is a difference of nearly equal numbers, and any order of evaluation leaves a large error relative
to the little that remains. So an error here is always divided by the sum of |terms|. `magnitudes` gets that
sum from the backward function itself, run on numbers that have lost their sign and whose minus is plus: what
was the sum of its terms becomes the sum of their absolute values, through every intermediate result.
"""

import functools

import numpy as np

STEP = 1e-100


def derivative(function, x, v):
    """The slope of function at x along v, shaped like the function's value.

    x (...), v (...)
    """
    return function(x + 1j * STEP * v).imag / STEP


class Magnitudes(np.ndarray):
    """An array of absolute values. Every operation drops the signs of what it meets, and minus adds."""

    def __array_ufunc__(self, ufunc, method, *inputs, out=(), **options):
        ufunc = np.add if ufunc is np.subtract else ufunc
        plain = [x.view(np.ndarray) if isinstance(x, Magnitudes) else np.abs(x) for x in inputs]
        if out:
            options["out"] = tuple(np.asarray(array) for array in out)
        result = getattr(ufunc, method)(*plain, **options)
        return None if result is None else np.asarray(np.abs(result)).view(Magnitudes)


def magnitudes(value):
    """value with every float array in it, however deep in tuples, turned into Magnitudes."""
    if isinstance(value, tuple):
        return tuple(magnitudes(part) for part in value)
    return np.asarray(np.abs(value)).view(Magnitudes) if np.asarray(value).dtype.kind == "f" else value


def backward_errors(forward, backward, arguments, rng):
    """How wrong each gradient is: one error for each float argument of forward, in their order.

    y = forward(*arguments) is given a random gradient dy, and each argument x a random direction v.
    Two ways to the slope of <dy, y> along v must agree, in units of the sum of the |terms| of the first:

        <v, dx> with dx from backward        <dy, slope of forward along v> by complex step
    """
    y, cache = forward(*arguments)
    dy = np.asarray(rng.normal(size=np.shape(y)))
    gradients = in_tuple(backward(dy, cache))
    terms = in_tuple(backward(magnitudes(dy), magnitudes(cache)))
    places = [place for place, argument in enumerate(arguments) if is_float(argument)]
    errors = []
    for place, gradient, term in zip(places, gradients, terms, strict=True):
        v = rng.normal(size=arguments[place].shape)
        along = functools.partial(with_argument, forward, arguments, place)
        slope = derivative(along, arguments[place], v)
        difference = abs((v * gradient).sum() - (dy * slope).sum())
        errors.append(relative(difference, (np.abs(v) * np.asarray(term)).sum()))
    return errors


def relative(difference, size):
    """difference / size; where size is 0 all terms are exactly 0, and so must the difference be."""
    return difference / size if size > 0 else difference


def in_tuple(value):
    """A function's results as a tuple, also where there is one alone."""
    return value if isinstance(value, tuple) else (value,)


def is_float(argument):
    """Whether an argument has a gradient: float arrays have, tokens, targets and n_head have not."""
    return getattr(argument, "dtype", np.dtype(int)).kind == "f"


def with_argument(forward, arguments, place, value):
    """forward's output as a function of one argument alone."""
    return forward(*arguments[:place], value, *arguments[place + 1 :])[0]
