"""Every small mistake that one could make in a Python file: one mutant for each, as source text.

Each function below looks at one kind of node and yields what might wrongly stand in its place. The text of
the node is then replaced in the file, so a mutant differs from the original in one place and nothing else.
"""

import ast
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple


class Mutant(NamedTuple):
    """A broken copy of a file."""

    name: str  # the function, and the line as it reads now; numbered where lines read alike
    source: str


def mutants(source):
    """All mutants of a source text, in the order of their places in it; equal ones once."""
    tree, sources, names = ast.parse(source), {source}, Counter()
    for function, node, parent in places(tree, "module"):
        for replacement in replacements(node, parent):
            changed, line = spliced(source, node, replacement)
            if changed not in sources:
                sources.add(changed)
                names[name := f"{function}: {line}"] += 1
                yield Mutant(name if names[name] == 1 else f"{name} ({names[name]})", changed)


def places(node, function) -> Iterator[tuple[str, ast.AST, ast.AST]]:
    """(function's name, node, its parent) for everything below node, less docstrings, names and f-strings."""
    for child in ast.iter_child_nodes(node):
        inside = child.name if isinstance(child, (ast.FunctionDef, ast.ClassDef)) else function
        if isinstance(child, (ast.JoinedStr, ast.Import, ast.ImportFrom)) or is_docstring(child):
            continue
        yield inside, child, node
        yield from places(child, inside)


def is_docstring(node):
    """Whether a statement is nothing but a text."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def spliced(source, node, replacement):
    """(source with node's text replaced, the line where that starts). Columns count bytes, as in ast."""
    lines = [line.encode() for line in source.splitlines(keepends=True)]
    begin = sum(map(len, lines[: node.lineno - 1]))
    start = begin + node.col_offset
    stop = sum(map(len, lines[: node.end_lineno - 1])) + node.end_col_offset
    whole = b"".join(lines)
    changed = whole[:start] + replacement.encode() + whole[stop:]
    shown = b"without " + whole[start:stop] if replacement == "pass" else changed[begin:]
    return changed.decode(), shown.split(b"\n")[0].split(b"  #")[0].decode().strip()


def replacements(node, parent):
    """What may wrongly stand in a node's place, as source text; a condition may always or never hold."""
    if getattr(parent, "test", None) is node:
        yield from ("True", "False")
    kinds = {
        ast.BinOp: operators_and_terms,
        ast.UnaryOp: signs,
        ast.Constant: constants,
        ast.Compare: comparisons,
        ast.BoolOp: junctions,
        ast.Call: calls,
        ast.Attribute: attributes,
        ast.Subscript: lambda node, parent: [text(node.value)],
        ast.Tuple: tuples,
        ast.Expr: lambda node, parent: ["pass"],
        ast.AugAssign: lambda node, parent: ["pass"],
    }
    yield from kinds.get(type(node), lambda node, parent: [])(node, parent)


def text(node):
    """A node's source, in parentheses where it could be torn apart."""
    source = ast.unparse(node)
    return f"({source})" if isinstance(node, TORN) else source


TORN = (ast.BinOp, ast.UnaryOp, ast.Compare, ast.BoolOp, ast.IfExp, ast.Constant)


OPERATORS = {"Add": "-", "Sub": "+", "Mult": "/", "Div": "*", "Pow": "*", "FloorDiv": "*"}


def operators_and_terms(node, parent):
    """a + b: a - b, a alone, b alone, either a hundred-thousandth too large. a @ b: b @ a, likewise."""
    left, right, kind = text(node.left), text(node.right), type(node.op).__name__
    if kind in OPERATORS:
        yield f"({left} {OPERATORS[kind]} {right})"
    if kind == "MatMult":
        yield f"({right} @ {left})"
    if kind in ("Add", "Sub"):
        sign = "+" if kind == "Add" else "-"
        yield f"(1.00001 * {left} {sign} {right})"
        yield f"({left} {sign} 1.00001 * {right})"
    else:
        yield f"(1.00001 * {text(node)})"
    yield left
    yield f"(-{right})" if kind == "Sub" else right


def signs(node, parent):
    """-a: a."""
    if isinstance(node.op, (ast.USub, ast.Not)):
        yield text(node.operand)


def constants(node, parent):
    """3: 4; where it is a term or a factor, and any float: 3.00003 as well. True: False."""
    value = node.value
    if isinstance(value, bool):
        yield str(not value)
    elif isinstance(value, (int, float)):
        yield repr(value + 1)
        if value and (isinstance(value, float) or isinstance(parent, ast.BinOp)):
            yield repr(value * 1.00001)


COMPARISONS = {
    "Eq": ("!=",), "NotEq": ("==",), "Is": ("is not",), "IsNot": ("is",), "In": ("not in",), "NotIn": ("in",),
    "Lt": ("<=", ">="), "LtE": ("<", ">"), "Gt": (">=", "<="), "GtE": (">", "<"),
}  # fmt: skip


def comparisons(node, parent):
    """a < b: a <= b, a >= b."""
    for other in COMPARISONS[type(node.ops[0]).__name__]:
        yield f"({text(node.left)} {other} {text(node.comparators[0])})"


def junctions(node, parent):
    """a and b: a or b, a alone, b alone."""
    other = " or " if isinstance(node.op, ast.And) else " and "
    yield f"({other.join(text(value) for value in node.values)})"
    yield from map(text, node.values)


MODULES = ("np", "math", "ops", "np.random")
SYMMETRIC = ("max", "maximum", "min", "minimum", "swapaxes")  # f(a, b) is f(b, a)
SCALED = ("sum", "mean", "exp", "log", "tanh", "sqrt", "cos")
TWINS = (("max", "min"), ("maximum", "minimum"), ("sum", "mean"), ("zeros_like", "ones_like"), ("cos", "sin"))
SWAPS = dict(TWINS) | {second: first for first, second in TWINS}


def calls(node, parent):
    """f(a, b): a, b, f(b, a), and its twin. x.f(): x. f(a, axis=0): f(a). exp(a): 1.00001 * exp(a)."""
    function, arguments = ast.unparse(node.func), [ast.unparse(argument) for argument in node.args]
    options = [ast.unparse(option) for option in node.keywords]
    is_method = isinstance(node.func, ast.Attribute)
    stem = ast.unparse(node.func.value) if is_method else ""
    name = node.func.attr if is_method else function
    if stem != "ops":
        yield from (text(argument) for argument in node.args if not isinstance(argument, ast.Starred))
    if name in SCALED:
        yield f"(1.00001 * {text(node)})"
    if is_method and stem not in MODULES:
        yield stem
    if name in SWAPS:
        yield f"{stem}{'.' * is_method}{SWAPS[name]}({', '.join(arguments + options)})"
    if len(arguments) > 1 and name not in SYMMETRIC:
        yield f"{function}({', '.join([arguments[1], arguments[0], *arguments[2:], *options])})"
    for place in range(len(options)):
        yield f"{function}({', '.join(arguments + options[:place] + options[place + 1 :])})"


def attributes(node, parent):
    """x.T: x. x.real: x."""
    if node.attr in ("T", "real"):
        yield text(node.value)


def tuples(node, parent):
    """a, b: b, a; of numbers, which name axes: each one left out."""
    if isinstance(node.ctx, ast.Store) or len(node.elts) < 2:
        return
    parts = [ast.unparse(part) for part in node.elts]
    if all(isinstance(part, ast.Constant) for part in node.elts):
        for place in range(len(parts)):
            yield f"({', '.join(parts[:place] + parts[place + 1 :])},)"
    else:
        yield f"({', '.join([parts[1], parts[0], *parts[2:]])})"
