"""Nested lists as tables: x[b][t][c]."""


def zeros(*shape):
    """A table full of zeros: zeros(2, 3) -> [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]."""
    if not shape:
        return 0.0
    return [zeros(*shape[1:]) for _ in range(shape[0])]


def shape(table):
    """How long each axis is: shape([[1, 2, 3], [4, 5, 6]]) -> (2, 3)."""
    return (len(table), *shape(table[0])) if isinstance(table, list) else ()


def each(function, table):
    """function of every entry: each(abs, [[-1, 2]]) -> [[1, 2]]."""
    if isinstance(table, list):
        return [each(function, row) for row in table]
    return function(table)
