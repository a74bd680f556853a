"""The value of a parsed expression: its tree is walked, and each of its nodes is an operation of the engine.

Only the functions, methods, attributes and constants of `functions` can be reached, whatever an expression says.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, ParamSpec, TypeVar

from gradcli.autograd import Tensor
from gradcli.autograd.dtypes import DType
from gradcli.errors import GradcliError
from gradcli.inspection.expressions.functions import (
    ATTRIBUTES,
    CONSTANTS,
    ELEMENT_TYPES,
    NAMESPACES,
    REFUSED_KEYWORDS,
    Function,
    find_constant,
    find_function,
    functions,
    methods,
    near,
)
from gradcli.inspection.expressions.limits import Budget
from gradcli.inspection.expressions.operands import BINARY, UNARY, VALUES, Operands, is_numeric, of_numbers
from gradcli.inspection.expressions.syntax import OPERATORS, Expression, Source, Statement

P = ParamSpec("P")
R = TypeVar("R")


def evaluate(expression: Expression, variables: Mapping[str, Any], float_type: DType) -> Tensor:
    """The value of an expression as a tensor: that of its last statement.

    `float_type` is the type of the floats that the expression writes down or makes; random numbers come from the
    default generator. UsageError, with the column, for what an operation refuses, for names that there aren't, and for
    tensors beyond `limits`.
    """
    return evaluate_by_name(expression, variables, float_type)[0]


def evaluate_by_name(
    expression: Expression, variables: Mapping[str, Any], float_type: DType
) -> tuple[Tensor, dict[str, Tensor]]:
    """As `evaluate`, and with that the tensors to which statements gave names."""
    evaluation = _Evaluation(expression.source, variables, float_type)
    value = evaluation.run(expression.statements)
    given = {name for statement in expression.statements for name in statement.names}
    tensors = {name: tensor for name, tensor in evaluation.names.items() if isinstance(tensor, Tensor)}
    return value, {name: tensor for name, tensor in tensors.items() if name in given}


class _Evaluation:
    """One walk through an expression."""

    def __init__(self, source: Source, variables: Mapping[str, Any], float_type: DType) -> None:
        self.source = source
        self.names = dict(variables)
        self.operands = Operands(float_type)
        self.budget = Budget()
        self.by_kind: dict[type[ast.AST], Callable[[Any], Any]] = {
            ast.Constant: lambda node: node.value,
            ast.Name: self.name,
            ast.List: self.elements,
            ast.Tuple: lambda node: tuple(self.elements(node)),
            ast.Slice: self.bounds,
            ast.BinOp: lambda node: self.between(node, node.op, node.left, node.right),
            ast.Compare: lambda node: self.between(node, node.ops[0], node.left, node.comparators[0]),
            ast.UnaryOp: self.unary,
            ast.Attribute: self.attribute,
            ast.Subscript: self.subscript,
            ast.Call: self.call,
        }

    def run(self, statements: tuple[Statement, ...]) -> Tensor:
        """The value of the last statement."""
        value: Any = None
        for statement in statements:
            value = self.value(statement.value)
            if statement.unpacks:
                self.unpack(statement, value)
            else:
                self.names.update(dict.fromkeys(statement.names, value))
        last = statements[-1].value
        if isinstance(value, tuple) and not is_numeric(value):
            self.source.refuse(last, f"the value is {len(value)} tensors; take one of them, as the first by [0]")
        # Integers that are all there is stay integers: `2**10` is 1024.
        return self.guarded(last, self.operands.tensor, value, positions=True)

    def unpack(self, statement: Statement, value: Any) -> None:
        """Give several results a name each."""
        if isinstance(value, Tensor):
            value = self.operation(statement.value, "unbind", methods()["unbind"], (value,), {})
        count = len(value) if isinstance(value, list | tuple) else 1
        if count != len(statement.names):
            found = f"{count} value" + "s" * (count != 1)
            self.source.refuse(
                statement.value, f"{len(statement.names)} names stand to the left of =, but {found} here"
            )
        self.names.update(zip(statement.names, value, strict=True))

    # --- nodes ----------------------------------------------------------------------------------------------------

    def value(self, node: ast.AST) -> Any:
        """What a node stands for: one of `VALUES`."""
        value = self.by_kind[type(node)](node)
        if not isinstance(value, VALUES):
            self.source.refuse(node, f"gives a {type(value).__name__}, which expressions can't go on with")
        return value

    def name(self, node: ast.Name) -> Any:
        """The value of a variable or constant."""
        constant = find_constant(node.id)
        if node.id not in self.names and constant is None:
            if node.id in functions():
                self.source.refuse(node, f"{node.id} is a function; call it: {node.id}(...)")
            known = near(node.id, [*self.names, *CONSTANTS, *ELEMENT_TYPES])
            advice = known or f"; give it by --var {node.id}=VALUE"
            self.source.refuse(node, f"there is no variable {node.id!r}{advice}")
        return self.names.get(node.id, constant)

    def elements(self, node: ast.List | ast.Tuple) -> list[Any]:
        """The values of a list or tuple."""
        values = [self.value(element) for element in node.elts]
        self.guarded(node, self.budget.spend_list, values)
        return values

    def bounds(self, node: ast.Slice) -> slice:
        """A slice within an index."""
        return slice(*(None if bound is None else self.value(bound) for bound in (node.lower, node.upper, node.step)))

    def between(self, node: ast.AST, kind: ast.AST, left: ast.AST, right: ast.AST) -> Any:
        """An operator between two values."""
        sign = OPERATORS[type(kind)]
        sides = tuple([self.guarded(side, self.operands.operand, self.value(side), sign) for side in (left, right)])
        if not any(isinstance(side, Tensor) for side in sides):
            return self.guarded(node, of_numbers, sign, *sides)
        return self.operation(node, sign, BINARY[sign], sides, {})

    def unary(self, node: ast.UnaryOp) -> Any:
        """An operator before a value."""
        sign = OPERATORS[type(node.op)]
        operand = self.guarded(node, self.operands.operand, self.value(node.operand), sign)
        return self.operation(node, sign, UNARY[sign], (operand,), {})

    def subscript(self, node: ast.Subscript) -> Any:
        """Part of a tensor, or one of several results."""
        whole, key = self.whole(node.value), self.value(node.slice)
        if isinstance(whole, Tensor):
            self.guarded(node, self.budget.check_index, whole, key)
        elif not isinstance(whole, tuple):
            self.source.refuse(node, f"a {type(whole).__name__} has no parts to take by [...]")
        return self.guarded(node, operator.getitem, whole, key)

    def attribute(self, node: ast.Attribute) -> Any:
        """An attribute of a tensor, one of several named results, or a constant such as `torch.pi`."""
        dotted = self.dotted(node)
        if dotted is not None:
            constant = find_constant(dotted)
            return self.refuse_name(node, dotted) if constant is None else constant
        whole = self.whole(node.value)
        if isinstance(whole, Tensor) and node.attr in methods():
            self.source.refuse(node, f"{node.attr} is a method; call it: .{node.attr}(...)")
        known = ATTRIBUTES if isinstance(whole, Tensor) else getattr(whole, "_fields", ())
        if node.attr not in known:
            self.source.refuse(node, _has_no(whole, node.attr, known))
        return self.guarded(node, getattr, whole, node.attr)

    def call(self, node: ast.Call) -> Any:
        """The call of a function, or of a method of a tensor."""
        assert isinstance(node.func, ast.Name | ast.Attribute)  # others don't pass the parser
        before: list[Any] = []
        dotted = self.dotted(node.func)
        if dotted is not None:
            name = dotted.rpartition(".")[2]
            function = find_function(dotted)
            if function is None:
                self.refuse_name(node.func, dotted)
        else:
            assert isinstance(node.func, ast.Attribute)
            name = node.func.attr
            whole = self.whole(node.func.value)
            function = methods().get(name) if isinstance(whole, Tensor) else None
            if function is None:
                self.source.refuse(node, _has_no(whole, name, methods() if isinstance(whole, Tensor) else ()))
            before.append(whole)
        args = (*before, *[self.value(argument) for argument in node.args])
        options = {}
        for keyword in node.keywords:
            assert keyword.arg is not None  # as above
            if keyword.arg in REFUSED_KEYWORDS:
                self.source.refuse(
                    keyword, f"{keyword.arg}= is not part of expressions; {REFUSED_KEYWORDS[keyword.arg]}"
                )
            options[keyword.arg] = self.value(keyword.value)
        args, options = self.guarded(node, self.operands.arguments, name, function, args, options)
        return self.operation(node, name, function, args, options)

    # --- what nodes have in common --------------------------------------------------------------------------------

    def operation(
        self, node: ast.AST, name: str, function: Function, args: tuple[Any, ...], options: dict[str, Any]
    ) -> Any:
        """Call an operation of the engine, unless its result would be too large."""
        self.guarded(node, self.budget.check_call, name, args, options)
        try:
            result = function(*args, **options)
        except MemoryError:
            raise
        except Exception as error:
            self.refuse(node, error, name)
        self.guarded(node, self.budget.spend, result)
        return result

    def whole(self, node: ast.AST) -> Any:
        """What has methods, attributes or parts; a list or number is a tensor then."""
        value = self.value(node)
        is_tensor = isinstance(value, list | bool | int | float)
        return self.guarded(node, self.operands.tensor, value) if is_tensor else value

    def dotted(self, node: ast.AST) -> str | None:
        """`exp` or `torch.exp` of a node that is written so, unless it begins with a variable and a dot."""
        if isinstance(node, ast.Name):
            return node.id
        names: list[str] = []
        while isinstance(node, ast.Attribute):
            names.insert(0, node.attr)
            node = node.value
        if not isinstance(node, ast.Name) or node.id in self.names:
            return None
        space = ".".join([node.id, *names[:-1]])
        return f"{space}.{names[-1]}" if space in NAMESPACES else None

    def refuse_name(self, node: ast.AST, name: str) -> NoReturn:
        """Refuse a function or constant that there isn't."""
        own = name.rpartition(".")[2]
        if own in self.names:
            self.source.refuse(node, f"{own} is a variable and can't be called; write * to multiply")
        self.source.refuse(node, f"there is no function {name!r}{near(own, functions())}")

    def guarded(self, node: ast.AST, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call what may refuse its arguments; whatever it raises becomes a UsageError with the node's place."""
        try:
            return function(*args, **kwargs)
        except (GradcliError, MemoryError):
            raise
        except Exception as error:
            self.refuse(node, error)

    def refuse(self, node: ast.AST, error: Exception, operation: str = "") -> NoReturn:
        """UsageError with what an error says, and the name of the operation where that doesn't say it."""
        message = " ".join(str(error).split()) or type(error).__name__
        if len(message) > _LONGEST_MESSAGE:
            message = f"{message[:_LONGEST_MESSAGE]}..."
        self.source.refuse(node, message if operation in message else f"{operation}: {message}")


_LONGEST_MESSAGE = 500


def _has_no(whole: Any, name: str, known: Any) -> str:
    kind = "tensor" if isinstance(whole, Tensor) else type(whole).__name__
    return f"a {kind} has no {name!r}{near(name, known)}"
