"""The graph that the evaluation of an expression records, as backward would go through it."""

from __future__ import annotations

from collections.abc import Sequence

from gradcli.autograd import Tensor
from gradcli.autograd.dtypes import DType
from gradcli.inspection.expressions.evaluation import evaluate_by_name
from gradcli.inspection.expressions.syntax import Expression
from gradcli.inspection.expressions.variables import Variable
from gradcli.inspection.graphs.recorded import RecordedGraph, recorded_graph
from gradcli.ops.random import get_rng_state, set_rng_state


def record_expression_graph(expression: Expression, variables: Sequence[Variable], float_type: DType) -> RecordedGraph:
    """The graph of an expression: variables and results are called what the expression calls them.

    It is recorded twice: with gradients for every variable of floats, so that it also has what backward skips, and as
    it is. UsageError where nothing was recorded, and for what can't be computed.
    """
    leaves = {variable.name: Tensor(variable.values) for variable in variables}
    state = get_rng_state()
    for leaf in leaves.values():
        leaf.requires_grad = leaf.is_floating_point()
    # This one stays until the other is recorded: a leaf then has the same node in both graphs.
    traced, named = evaluate_by_name(expression, leaves, float_type)
    for variable in variables:
        leaves[variable.name].requires_grad = variable.requires_grad
    set_rng_state(state)
    value, named_as_it_is = evaluate_by_name(expression, leaves, float_type)
    # A result that needs no gradient as it is has its node in the first graph alone; a variable keeps its name.
    results = {name: tensor if tensor.requires_grad else named[name] for name, tensor in named_as_it_is.items()}
    return recorded_graph(value, results | leaves, traced=traced)
