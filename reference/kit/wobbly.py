"""How far rounding takes a whole model's results: found by rounding at random, again and again.

The bounds of reference/scalar/rounding.py hold in the worst case. Through a whole model they multiply up,
layer by layer, until they allow anything; roundings, which go up as well as down, never come near them. So
here the scalar program runs on numbers that every operation changes by a random share, up to SHARE (Monte
Carlo arithmetic: Parker 1997, UCLA CSD-970002). How far the results of DRAWS runs stray, in units of SHARE,
is how far a program's may, in units of its roundoff.
"""

import operator
import random

from reference.scalar.nested import each
from reference.scalar.rounding import result

SHARE = 2.0**-30  # small beside 1, large beside float64's roundoff
DRAWS = 32


class Wobbly(float):
    """A number that no operation leaves quite as it should be. math's functions return plain floats."""

    draw = staticmethod(random.Random(0).random)

    def __neg__(self):
        return Wobbly(-float(self))


def wobbling(operation):
    """An operator's method whose result is off by a random share."""
    return lambda x, y: Wobbly(operation(float(x), float(y)) * (1 + SHARE * (2 * Wobbly.draw() - 1)))


for name in ("add", "sub", "mul", "truediv"):
    method, swapped = (wobbling(getattr(operator, name)) for _ in range(2))
    setattr(Wobbly, f"__{name}__", method)
    setattr(Wobbly, f"__r{name}__", lambda x, y, method=swapped: method(y, x))


def answered(program, tables, seed):
    """The tables by name that program makes of float tables, as Rounded: each entry's value and error."""
    Wobbly.draw = staticmethod(random.Random(seed).random)
    runs = [program({key: each(Wobbly, table) for key, table in tables.items()}) for _ in range(DRAWS)]
    return {name: judged(table, [run[name] for run in runs]) for name, table in program(tables).items()}


def judged(table, strays):
    """A table with the error of each entry: its largest stray, or the table's usual one, if it strays at all.

    An entry that no run has moved from 0 must be 0.
    """
    numbers = flat(table)
    rows = zip(numbers, *map(flat, strays), strict=True)
    columns = [[abs(x - y) / SHARE for x in column] for y, *column in rows]
    usual = (sum(stray * stray for column in columns for stray in column) / len(columns) / DRAWS) ** 0.5
    errors = (max(*column, usual) if any(column) else 0.0 for column in columns)
    pairs = iter([result(float(y), error) for y, error in zip(numbers, errors, strict=True)])
    return each(lambda _: next(pairs), table)


def flat(table):
    """All numbers of a table in one list."""
    return [x for row in table for x in flat(row)] if isinstance(table, list) else [table]
