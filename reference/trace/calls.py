"""Which line of source asked for a call, and what the line calls the results."""

import ast
import functools

from reference.trace.events import Site
from reference.trace.source import arrows, relative


def site_of(frame):
    """The Site of the call, or of the sum, that a frame is waiting for."""
    code = frame.f_code
    place = list(code.co_positions())[frame.f_lasti // 2]  # line, last line, column, last column
    nodes, parents = parsed(code.co_filename)
    node = nodes.get(place)
    if node is None:  # no expression of its own: at least the line is known
        return Site(relative(code.co_filename), frame.f_lineno, frame.f_lineno)
    statement = node
    while not isinstance(statement, ast.stmt):
        statement = parents[statement]
    names = targets(statement, node) or returned(statement, node, parents)
    return Site(relative(code.co_filename), statement.lineno, statement.end_lineno, names, operands(node))


@functools.cache
def parsed(file):
    """The expressions of a file by where they begin and end, and the parent of every node."""
    with open(file, encoding="utf-8") as text:
        tree = ast.parse(text.read())
    nodes = {spans(node): node for node in ast.walk(tree) if isinstance(node, ast.expr)}
    return nodes, {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}


def spans(node):
    """Where a node begins and ends, as co_positions tells it."""
    return node.lineno, node.end_lineno, node.col_offset, node.end_col_offset


def targets(statement, node):
    """The names on the left, if the node is all of the right: `n, ln_1 = ops.f(x)` -> ("n", "ln_1")."""
    if not isinstance(statement, ast.Assign) or statement.value is not node:
        return ()
    (target,) = statement.targets
    return tuple(map(written, target.elts if isinstance(target, ast.Tuple) else [target]))


def returned(statement, node, parents):
    """The name of a result that has none but in the docstring: `return x + branch, cache` -> ("x",)."""
    if not isinstance(statement, ast.Return):
        return ()
    value = statement.value
    if node is not (value.elts[0] if isinstance(value, ast.Tuple) else value):
        return ()
    function = parents[statement]
    while not isinstance(function, ast.FunctionDef):
        function = parents[function]
    _, results = arrows(ast.get_docstring(function))
    return tuple(name for name, _ in results[:1])


def written(target):
    """A target as a name: x -> x, g["ln_1.bias"] -> g[ln_1.bias]."""
    return ast.unparse(target).replace("'", "")


def operands(node):
    """The two sides of a sum as written: `x + branch` -> ("x", "branch")."""
    return (ast.unparse(node.left), ast.unparse(node.right)) if isinstance(node, ast.BinOp) else ()
