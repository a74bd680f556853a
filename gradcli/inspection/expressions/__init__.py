"""Expressions of tensors, as text: parsed but never run as Python, evaluated by the engine, and differentiated."""

from gradcli.inspection.expressions.checking import CheckedVariable, check_derivatives, require_checked
from gradcli.inspection.expressions.derivatives import Differentiation, Value
from gradcli.inspection.expressions.evaluation import evaluate
from gradcli.inspection.expressions.syntax import Expression, parse_expression
from gradcli.inspection.expressions.variables import Variable, read_variables

__all__ = [
    "CheckedVariable",
    "Differentiation",
    "Expression",
    "Value",
    "Variable",
    "check_derivatives",
    "evaluate",
    "parse_expression",
    "read_variables",
    "require_checked",
]
