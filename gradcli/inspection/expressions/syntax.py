"""Expressions as text: parsed by Python's grammar, and checked to hold nothing but arithmetic, calls and indexing.

Nothing here computes, and nothing is ever run as Python: what passes is a tree of a few kinds of nodes, of which
`evaluation` knows the meaning.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

from gradcli.errors import UsageError

MAX_LENGTH = 100_000
"""Characters of an expression."""
MAX_DEPTH = 100
"""How deep an expression may be nested; a sum of n terms is n deep."""
MAX_INTEGER = 2**63
"""Integers are smaller than this, as those of a tensor."""

OPERATORS: dict[type[ast.AST], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Pow: "**",
    ast.MatMult: "@",
    ast.BitAnd: "&",
    ast.BitOr: "|",
    ast.USub: "-",
    ast.UAdd: "+",
    ast.Invert: "~",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
}
"""The operators of expressions, and how they are written."""

_LINE_END = re.compile("\r\n|\r|\n")

_ALLOWED = (
    ast.Name,
    ast.Constant,
    ast.BinOp,
    ast.UnaryOp,
    ast.Compare,
    ast.Call,
    ast.keyword,
    ast.Attribute,
    ast.Subscript,
    ast.Slice,
    ast.List,
    ast.Tuple,
    ast.Load,
)

_CONDITION = "write where(condition, a, b)"
_LOGIC = "write & | ~ around comparisons in parentheses"
_REFUSED: dict[type[ast.AST], tuple[str, str]] = {
    ast.Lambda: ("lambda", ""),
    ast.IfExp: ("if ... else", _CONDITION),
    ast.If: ("if", _CONDITION),
    ast.BoolOp: ("and/or", _LOGIC),
    ast.Not: ("not", _LOGIC),
    ast.ListComp: ("a comprehension", ""),
    ast.SetComp: ("a comprehension", ""),
    ast.DictComp: ("a comprehension", ""),
    ast.GeneratorExp: ("a comprehension", ""),
    ast.Dict: ("a dict", ""),
    ast.Set: ("a set", "lists have square brackets"),
    ast.JoinedStr: ("an f-string", ""),
    ast.NamedExpr: (":=", "write name = value; before the expression"),
    ast.Starred: ("* before an argument", ""),
    ast.AugAssign: ("assignment in place", "write name = name + value"),
    ast.AnnAssign: ("a type annotation", ""),
    ast.LShift: ("<<", "write * 2**n"),
    ast.RShift: (">>", "write // 2**n"),
    ast.BitXor: ("^", "write ** for powers, != for exclusive or"),
    ast.Is: ("is", "write =="),
    ast.IsNot: ("is not", "write !="),
    ast.In: ("in", ""),
    ast.NotIn: ("not in", ""),
    ast.FunctionDef: ("def", ""),
    ast.AsyncFunctionDef: ("def", ""),
    ast.ClassDef: ("class", ""),
    ast.ImportFrom: ("import", "all operations are there by their names"),
    ast.Import: ("import", "all operations are there by their names"),
    ast.AsyncFor: ("for", ""),
    ast.AsyncWith: ("with", ""),
    ast.TryStar: ("try", ""),
    ast.YieldFrom: ("yield", ""),
    ast.Delete: ("del", ""),
}


@dataclass(frozen=True)
class Source:
    """The text of an expression, and what messages call it: `expression`, or the option that gave it."""

    label: str
    text: str

    def place(self, node: ast.AST) -> str:
        """Where a node of the expression begins: the label, and its column, counted from 1 in characters."""
        lines = _LINE_END.split(self.text)
        line = getattr(node, "lineno", 1)
        # The parser counts bytes of UTF-8.
        before = lines[line - 1].encode()[: getattr(node, "col_offset", 0)].decode(errors="ignore")
        return self._at(line, len(before) + 1)

    def _at(self, line: int, column: int) -> str:
        return f"{self.label}, {f'line {line}, ' if _LINE_END.search(self.text) else ''}column {column}"

    def refuse(self, node: ast.AST, message: str) -> NoReturn:
        """UsageError with the place of the node and the message."""
        raise UsageError(f"{self.place(node)}: {message}")

    def refuse_syntax(self, error: SyntaxError) -> NoReturn:
        """UsageError with what the parser says, and where."""
        raise UsageError(f"{self._at(error.lineno or 1, max(error.offset or 1, 1))}: {error.msg}") from error


@dataclass(frozen=True)
class Statement:
    """A value, and the names that it is given: none, one, or one for each of several results."""

    value: ast.expr
    names: tuple[str, ...] = ()
    unpacks: bool = False


@dataclass(frozen=True)
class Expression:
    """A parsed expression: statements, of which the last one's value is that of all."""

    source: Source
    statements: tuple[Statement, ...]


def parse_expression(text: str, label: str = "expression") -> Expression:
    """Parse statements separated by `;` or line ends: `value`, `name = value` or `name, name = value`.

    UsageError, one line that begins with `label` and a column, for what is no such text: everything in Python that
    isn't a name, number, string, list, tuple, operator, call, attribute, index or slice is refused by its name.
    """
    source = Source(label, text.strip())
    if len(source.text) > MAX_LENGTH:
        raise UsageError(f"{label}: is {len(source.text):,} characters long; {MAX_LENGTH:,} is the limit")
    module = _parsed(source)
    if not module.body:
        raise UsageError(f"{label}: is empty; write something like 3*a**3 - b**2")
    _check_depth(source, module)
    return Expression(source, tuple(_statement(source, statement) for statement in module.body))


def _parsed(source: Source) -> ast.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of backslashes that mean nothing, say
            return ast.parse(source.text)
    except SyntaxError as error:
        source.refuse_syntax(error)
    except (RecursionError, MemoryError) as error:
        raise UsageError(_too_deep(source.label)) from error
    except ValueError as error:  # zero bytes, or bytes that are no text
        raise UsageError(f"{source.label}: is no text: {error}") from error


def _too_deep(place: str) -> str:
    return f"{place}: is nested more than {MAX_DEPTH} deep; take it apart with name = value;"


def _check_depth(source: Source, module: ast.Module) -> None:
    """Refuse what is nested too deep, without recursion, so that what follows may use it."""
    waiting: list[tuple[ast.AST, int]] = [(statement, 0) for statement in module.body]
    while waiting:
        node, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise UsageError(_too_deep(source.place(node)))
        waiting += [(child, depth + 1) for child in ast.iter_child_nodes(node)]


def _statement(source: Source, statement: ast.stmt) -> Statement:
    if isinstance(statement, ast.Expr):
        checked = Statement(statement.value)
    elif isinstance(statement, ast.Assign):
        if len(statement.targets) != 1:
            source.refuse(statement, "several = in one statement are not part of expressions; take one at a time")
        (target,) = statement.targets
        unpacks = isinstance(target, ast.Tuple | ast.List)
        names = target.elts if isinstance(target, ast.Tuple | ast.List) else [target]
        for name in names:
            if not isinstance(name, ast.Name):
                source.refuse(name, "only a name can stand to the left of =")
        checked = Statement(statement.value, tuple(name.id for name in names if isinstance(name, ast.Name)), unpacks)
    else:
        _refuse_kind(source, statement)
    for node, place in _nodes_with_places(checked.value):
        _check(source, node, place)
    return checked


def _nodes_with_places(root: ast.expr) -> Iterator[tuple[ast.AST, ast.AST]]:
    """Every node, in the order of the text, and the nearest one around it that has a place there."""
    waiting: list[tuple[ast.AST, ast.AST]] = [(root, root)]
    while waiting:
        node, around = waiting.pop()
        place = node if hasattr(node, "col_offset") else around
        yield node, place
        waiting += [(child, place) for child in reversed(list(ast.iter_child_nodes(node)))]


def _check(source: Source, node: ast.AST, place: ast.AST) -> None:
    if isinstance(node, ast.Constant):
        _check_constant(source, node)
    elif isinstance(node, ast.Compare) and len(node.ops) > 1:
        source.refuse(node, "a chain of comparisons is not part of expressions; write (a < b) & (b < c)")
    elif isinstance(node, ast.keyword) and node.arg is None:
        source.refuse(place, "** before an argument is not part of expressions")
    elif isinstance(node, ast.Call) and not isinstance(node.func, ast.Name | ast.Attribute):
        source.refuse(node, "only functions and methods can be called, by their names")
    elif not isinstance(node, (*_ALLOWED, *OPERATORS)):
        _refuse_kind(source, node, place)


def _check_constant(source: Source, node: ast.Constant) -> None:
    if isinstance(node.value, bytes):
        source.refuse(node, "bytes are not part of expressions")
    if isinstance(node.value, complex):
        source.refuse(node, "complex numbers are not part of expressions")
    if isinstance(node.value, int) and node.value >= MAX_INTEGER:
        source.refuse(node, "integers are below 2**63; write larger numbers as floats, such as 1e20")


def _refuse_kind(source: Source, node: ast.AST, place: ast.AST | None = None) -> NoReturn:
    name, instead = _REFUSED.get(type(node), (type(node).__name__.lower(), ""))
    source.refuse(place or node, f"{name} is not part of expressions{f'; {instead}' if instead else ''}")
