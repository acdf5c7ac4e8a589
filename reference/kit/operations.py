"""A case for each operation and each of its edges: the scalar program's results, with their bounds."""

from typing import NamedTuple

from reference import scalar
from reference.kit.numbers import Grid
from reference.scalar.nested import each, shape
from reference.scalar.rounding import exactly


class Case(NamedTuple):
    """A question with its answer. Tables are nested lists; those of `expected` hold Rounded numbers."""

    name: str
    about: str
    settings: dict
    inputs: dict
    expected: dict


# operation -> its arguments, its output and its gradients, in order
SIGNATURES = {
    "embedding": (("tokens", "wte", "wpe"), "x", ("dwte", "dwpe")),
    "layernorm": (("x", "gain", "bias"), "y", ("dx", "dgain", "dbias")),
    "linear": (("x", "weight", "bias"), "y", ("dx", "dweight", "dbias")),
    "attention": (("qkv", "n_head"), "y", ("dqkv",)),
    "gelu": (("x",), "y", ("dx",)),
    "unembedding": (("x", "wte"), "logits", ("dx", "dwte")),
    "cross_entropy": (("logits", "targets"), "loss", ("dlogits",)),
}


def case(operation, edge, about, *arguments):
    """Ask an operation's scalar programs, forward and backward, on exact inputs."""
    names, output, gradients = SIGNATURES[operation]
    grid = Grid(f"{operation} {edge}")
    arguments = [argument(grid) if callable(argument) else argument for argument in arguments]
    given = dict(zip(names, arguments, strict=True))
    exact = [exactly(table) if is_float(table) else table for table in arguments]
    y = getattr(scalar, f"{operation}_forward")(*exact)
    dy = 1.0 if output == "loss" else grid.even(*shape(y))
    found = getattr(scalar, f"{operation}_backward")(exactly(dy), *exact)
    found = found if len(gradients) > 1 else (found,)
    settings = {name: value for name, value in given.items() if name == "n_head"}
    inputs = {name: value for name, value in given.items() if name != "n_head"} | {f"d{output}": dy}
    expected = {output: y} | dict(zip(gradients, found, strict=True))
    return Case(f"{operation}/{edge}", about, settings, inputs, expected)


def is_float(table):
    """Whether a table holds floats: ids and n_head are whole."""
    while isinstance(table, list):
        table = table[0]
    return isinstance(table, float)


def even(*sizes, **how):
    return lambda grid: grid.even(*sizes, **how)


def gains(*sizes):
    return lambda grid: grid.near_one(*sizes)


def ids(vocabulary, *sizes):
    return lambda grid: grid.ids(vocabulary, *sizes)


def shifted(grid):
    """Rows far from 0: 100 and a little."""
    return each(lambda x: 100 + x, grid.even(2, 2, 6, unit=0.5, most=32))


def constant(grid):
    """Rows without any variance beside one with."""
    return [[[3.0] * 5, [-0.25] * 5, grid.even(5)]]


def operations():
    """Yield all cases of operations."""
    plain, ones = "sizes that all differ", "every axis has length 1"

    yield case("embedding", "plain", f"{plain}; a token that occurs twice; more positions than are used",
               [[3, 1, 3], [0, 3, 4]], even(6, 4), even(5, 4))  # fmt: skip
    yield case("embedding", "ones", ones, [[0]], even(1, 1), even(1, 1))

    yield case("layernorm", "plain", plain, even(2, 3, 8), gains(8), even(8))
    yield case("layernorm", "ones", f"{ones}: y is the bias", even(1, 1, 1), gains(1), even(1))
    yield case("layernorm", "two-channels", "gradients that nearly vanish", even(2, 2, 2), gains(2), even(2))
    yield case("layernorm", "constant-rows", "variance 0: eps alone", constant, gains(5), even(5))
    yield case("layernorm", "shifted", "a mean large beside the deviation", shifted, gains(6), even(6))
    yield case("layernorm", "small", "a variance beside which eps counts",
               even(2, 2, 6, unit=2.0**-12, most=64), gains(6), even(6))  # fmt: skip

    yield case("linear", "plain", plain, even(2, 3, 5), even(5, 4), even(4))
    yield case("linear", "ones", ones, even(1, 1, 1), even(1, 1), even(1))
    yield case("linear", "long", "a sum of 200 terms", even(1, 2, 200), even(200, 3), even(3))

    yield case("attention", "plain", plain, even(2, 4, 18, most=128), 2)
    yield case("attention", "ones", ones, even(1, 1, 3), 1)
    yield case("attention", "one-position", "nothing before it: y is v", even(3, 1, 12), 2)
    yield case("attention", "one-channel-heads", "as many heads as channels", even(1, 4, 9), 3)
    yield case("attention", "large-scores", "scores in the thousands: probabilities of 0 and 1",
               even(1, 4, 12, unit=0.25), 1)  # fmt: skip
    yield case("attention", "long", "more positions than a tile has, perhaps", even(1, 40, 6, most=128), 1)

    yield case("gelu", "plain", "between -4 and 4", even(2, 3, 16))
    yield case("gelu", "far", "x or 0, but for rounding", even(1, 2, 12, unit=0.25))
    yield case("gelu", "zero", "0, and next to it", [[[0.0, 2.0**-10, -(2.0**-10), 2.0**-14]]])

    yield case("unembedding", "plain", plain, even(2, 3, 4), even(5, 4))
    yield case("unembedding", "ones", ones, even(1, 1, 1), even(1, 1))

    yield case("cross_entropy", "plain", plain, even(2, 3, 5), ids(5, 2, 3))
    yield case("cross_entropy", "ignored", "-1: not scored; the mean is over the others",
               even(2, 3, 5), [[-1, 2, -1], [0, -1, 4]])  # fmt: skip
    yield case("cross_entropy", "all-but-one-ignored", "a mean over one position",
               even(2, 3, 4), [[-1, -1, -1], [-1, 3, -1]])  # fmt: skip
    yield case("cross_entropy", "one-token", "a vocabulary of one: loss 0", even(2, 2, 1), ids(1, 2, 2))
    yield case("cross_entropy", "large-logits", "up to 1,020: exp alone would overflow",
               even(2, 3, 5, unit=4), ids(5, 2, 3))  # fmt: skip
    yield case("cross_entropy", "equal-logits", "loss log V", [[[2.5] * 7] * 2], [[6, 0]])
