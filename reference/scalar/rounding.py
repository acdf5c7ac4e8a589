"""How far apart may two correct programs be? Numbers that follow the rounding errors they are made of.

Every operation rounds once: fl(a + b) = (a + b)(1 + d) with |d| <= u, half a unit in the last place. A sum
of exact terms by n roundings, in any order, is off by at most (Higham 2002, Accuracy and Stability of
Numerical Algorithms, section 4.2)

    n * u * sum of |terms|

to first order in u. When the terms come with errors of their own, those arrive too, and go on through
products, quotients and functions by the rules of differentiation. A Rounded carries along with its value
what this needs: the sum of |terms| of the sum it is, the n of that sum, and what its terms carried in.

              value    terms                  n                 carried, in units of u
    exact x   x        |x|                    0                 0
    x + y     x + y    terms(x) + terms(y)    n(x) + n(y) + 1   carried(x) + carried(y)
    x * y     x * y    |x * y|                0                 |x| error(y) + |y| error(x) + |x y|
    x / y     x / y    |x / y|                0                 error(x) / |y| + |x / y^2| error(y) + |x / y|
    f(x)      f(x)     |f(x)|                 0                 |f'(x)| error(x) + 2 |f(x)|

    error(x) = carried(x) + n(x) * terms(x)

A scalar program that is run on Rounded numbers returns, beside its result, how far any program that adds up
the same terms may be from it: 4 * u * error. For a plain sum this is 4 * n * u * sum of |terms|. Two
programs round, hence a 2. The other 2 is for one that rounds twice where the scalar program rounds once
(x * (1 / y) for x / y), for exp, log and tanh that are good to two units in the last place and not one, and
for what lies beyond first order. No number here is tuned.
"""

import math
from dataclasses import dataclass

from reference.scalar.nested import each

DOUBLE = (2.0**-53, 2.0**-1022)  # unit roundoff u, and the smallest number that has full precision
SINGLE = (2.0**-24, 2.0**-126)


@dataclass(slots=True)
class Rounded:
    """A value and where its rounding error comes from; see the table above."""

    value: float
    terms: float
    n: int
    carried: float

    @property
    def error(self):
        """In units of u: a program's distance from the exact value, at most."""
        return self.carried + self.n * self.terms

    def bound(self, precision=DOUBLE):
        """How far another correct program may be from this value."""
        unit, smallest = precision
        return 4 * unit * self.error + smallest

    def __add__(self, other):
        y = exact(other)
        carried = self.carried + y.carried
        return Rounded(self.value + y.value, self.terms + y.terms, self.n + y.n + 1, carried)

    def __mul__(self, other):
        y = exact(other)
        product = self.value * y.value
        return result(product, abs(self.value) * y.error + abs(y.value) * self.error + abs(product))

    def __truediv__(self, other):
        y = exact(other)
        quotient = self.value / y.value
        return result(quotient, (self.error + abs(quotient) * y.error) / abs(y.value) + abs(quotient))

    def __neg__(self):
        return Rounded(-self.value, self.terms, self.n, self.carried)

    def __sub__(self, other):
        return self + -other

    def __rsub__(self, other):
        return other + -self

    def __rtruediv__(self, other):
        return exact(other) / self

    __radd__, __rmul__ = __add__, __mul__

    def __lt__(self, other):
        return self.value < exact(other).value

    def __gt__(self, other):
        return self.value > exact(other).value


def exact(x):
    """A plain number, which nothing has rounded yet, as a Rounded; a Rounded as it is."""
    return x if isinstance(x, Rounded) else result(x, carried=0.0)


def result(value, carried):
    """One term: whatever it was made of, its error is what it carries."""
    return Rounded(value, abs(value), 0, carried)


def exactly(table):
    """Every entry of a nested list, exact."""
    return each(exact, table)


def values(table):
    """Every entry's value."""
    return each(lambda x: exact(x).value, table)


def bounds(table, precision=DOUBLE):
    """Every entry's bound."""
    return each(lambda x: exact(x).bound(precision), table)


# Functions of a float or a Rounded, each with its slope f'(x), given x and f(x) ------------------------


def exp(x):
    """e^x; the slope is e^x."""
    return apply(math.exp, lambda x, y: y, x)


def log(x):
    """The natural logarithm; the slope is 1/x."""
    return apply(math.log, lambda x, y: 1 / x, x)


def tanh(x):
    """The hyperbolic tangent y; the slope is 1 - y^2."""
    return apply(math.tanh, lambda x, y: 1 - y * y, x)


def cos(x):
    """The cosine; the slope is -sin x."""
    return apply(math.cos, lambda x, y: -math.sin(x), x)


def sqrt(x):
    """The square root y; the slope is 1/(2y). A 0 is taken to be exact: a sum of squares that are all 0."""
    return apply(math.sqrt, lambda x, y: 0.5 / y if y else 0.0, x)


def apply(function, slope, x):
    """function(x), and for a Rounded x the error that comes through."""
    if not isinstance(x, Rounded):
        return function(x)
    y = function(x.value)
    return result(y, abs(slope(x.value, y)) * x.error + 2 * abs(y))
