"""Arrays that know how far a float32 evaluation may be from them: running error analysis.

Each operation adds what its own rounding may cost and passes on what came in, so a bound grows with the
equation and is never chosen (Higham, "Accuracy and Stability of Numerical Algorithms", section 3.3). A sum of
n terms may be made in any order: n * U * sum of |terms|. The functions have the errors that the CUDA C++
programming guide promises for them, in units of the last place: an ulp is at most 2 U of the value.
"""

import numpy as np

U = 2.0**-24  # unit roundoff of float32
STORED = {"float32": 0.0, "bfloat16": 2.0**-8}  # that of a storage type, beside U
TINY = 2.0**-126  # what may be lost where a result is below the smallest normal number


class Near:
    """An array (float64) and a bound of the distance of its float32 evaluation, element by element."""

    __array_ufunc__ = None  # array * Near is then answered here

    def __init__(self, value, error=0.0):
        self.value = np.asarray(value, np.float64)
        self.error = np.broadcast_to(np.asarray(error, np.float64), self.value.shape)

    def rounded(self, units=1.0):
        """After a result that is within units * U of the exact one."""
        return Near(self.value, self.error + units * U * (abs(self.value) + self.error) + TINY)

    def stored(self, dtype):
        """After it has been written as dtype."""
        return self.rounded(STORED[str(np.dtype(dtype))] / U)

    def __add__(self, other):
        other = near(other)
        return Near(self.value + other.value, self.error + other.error).rounded()

    def __sub__(self, other):
        return self + -near(other)

    def __rsub__(self, other):
        return near(other) - self

    def __neg__(self):
        return Near(-self.value, self.error)

    def __mul__(self, other):
        other = near(other)
        error = abs(self.value) * other.error + abs(other.value) * self.error + self.error * other.error
        return Near(self.value * other.value, error).rounded()

    def __truediv__(self, other):
        return self * near(other).reciprocal()

    __radd__, __rmul__ = __add__, __mul__

    def reciprocal(self, units=1.0):
        least = np.maximum(abs(self.value) - self.error, TINY)
        return Near(1 / self.value, self.error / (abs(self.value) * least)).rounded(units)

    def sum(self, axis=None):
        """In any order."""
        value = self.value.sum(axis=axis, keepdims=True)
        n = self.value.size // value.size
        terms = (abs(self.value) + self.error).sum(axis=axis, keepdims=True)
        return Near(value, self.error.sum(axis=axis, keepdims=True) + n * U * terms)

    def mean(self, axis):
        return self.sum(axis) * (1 / self.value.shape[axis])

    def sqrt(self, units=1.0):
        return self._increasing(np.sqrt, units)

    def exp(self, units=4.0):
        return self._increasing(np.exp, units)

    def log(self, units=2.0):
        return self._increasing(np.log, units)

    def _increasing(self, function, units):
        """An increasing function moves its bounds with it."""
        value = function(self.value)
        with np.errstate(invalid="ignore", divide="ignore"):
            low, high = function(self.value - self.error), function(self.value + self.error)
        return Near(value, np.maximum(high - value, value - low)).rounded(units)

    def __getitem__(self, key):
        return Near(self.value[key], self.error[key])

    def reshape(self, *shape):
        return Near(self.value.reshape(*shape), self.error.reshape(*shape))


def near(x):
    """A Near as it is; a plain array as one that is exactly known."""
    return x if isinstance(x, Near) else Near(np.asarray(x, np.float64))


def check(name, found, exact, bound):
    """found is as near to the reference's exact value as the Near derived for the same equation allows."""
    found, exact = np.asarray(found, np.float64), np.asarray(exact, np.float64)
    shape = exact.shape
    assert found.shape == shape, f"{name}: {shape} expected, {found.shape} found"
    value, error = bound.value.reshape(shape), bound.error.reshape(shape)
    np.testing.assert_allclose(
        value, exact, rtol=1e-9, atol=1e-11, err_msg=f"{name}: a bound of something else"
    )
    allowed = error + 1e-12 * (1 + abs(exact))
    wrong = ~(abs(found - exact) <= allowed)
    if wrong.any():
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise AssertionError(
            f"{name}{at} is {found[at]}, expected {exact[at]} within {allowed[at]:.1e}; "
            f"{wrong.sum()} of {wrong.size} are off"
        )
