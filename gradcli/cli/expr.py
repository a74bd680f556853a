"""`gradcli expr`: the value of an expression and its derivatives."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer

from gradcli.cli.option_groups import OutputOptions
from gradcli.cli.options import FORMAT, SeedOption
from gradcli.cli.output import Output
from gradcli.cli.plain_values import strict_json
from gradcli.cli.tables import Column
from gradcli.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

    from gradcli.inspection.expressions import CheckedVariable, Value
    from gradcli.inspection.graphs.recorded import RecordedGraph

ValueFormat = Literal["table", "json", "npz"]
ExprFormat = Literal[ValueFormat, "tree", "dot", "mermaid", "svg", "png"]
_GRAPH_FORMATS = tuple(name for name in get_args(ExprFormat) if name not in get_args(ValueFormat))

FloatType = Literal["float32", "float64", "float16"]

COLUMNS = [Column("name"), Column("shape", optional=2), Column("dtype", optional=1), Column("values")]
CHECK_COLUMNS = [
    Column("ok"),
    Column("max_absolute_error", "absolute error", ".2g"),
    Column("max_relative_error", "relative error", ".2g"),
]
SHOWN_ON_A_TERMINAL = 20
"""Numbers of one tensor."""


def expr(
    output: OutputOptions,
    expression: Annotated[
        str, typer.Argument(help="For example '3*a**3 - b**2', or 'y = sin(a); (y*b).sum()'.", show_default=False)
    ],
    var: Annotated[
        list[str] | None,
        typer.Option(
            "--var",
            "-x",
            metavar="NAME=VALUE",
            help="A variable: a=2,3 or a=[[1,2],[3,4]] or a=@FILE.npy, a=@FILE.npz:NAME, a=@- (npy on standard input); "
            "repeatable.",
        ),
    ] = None,
    no_grad: Annotated[
        list[str] | None,
        typer.Option("--no-grad", metavar="NAME", help="A variable that requires no gradient; repeatable."),
    ] = None,
    gradient: Annotated[
        str | None,
        typer.Option(
            "--gradient",
            metavar="VALUE",
            help="The vector of the vector-Jacobian product, in the shape of the expression's value. Needed for the "
            "gradients of a value that is no single number.",
        ),
    ] = None,
    jacobian: Annotated[bool, typer.Option("--jacobian", help="Add the Jacobian by each variable.")] = False,
    hessian: Annotated[bool, typer.Option("--hessian", help="Add the second derivatives of a single number.")] = False,
    jvp: Annotated[
        list[str] | None,
        typer.Option(
            "--jvp",
            metavar="[NAME=]VALUE",
            help="Add the product of the Jacobian with a direction: of a variable, in its shape; repeatable.",
        ),
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Compare with numerical derivatives in float64; exit code 6 where they differ."),
    ] = False,
    graph: Annotated[
        bool,
        typer.Option(
            "--graph", help="Show the recorded graph instead: tree (the default), dot, mermaid, json, svg or png."
        ),
    ] = False,
    dtype: Annotated[
        FloatType, typer.Option("--dtype", help="The type of the variables and of all floats.")
    ] = "float32",
    seed: SeedOption = 0,
    format: Annotated[ExprFormat | None, FORMAT] = None,
) -> None:
    """The value of an expression, and its gradients.

    Operators, indexing and every operation of the engine, as functions and methods: a @ b, a[0, 1:], a.T, exp(a),
    F.gelu(a), a.sum(dim=0). Nothing is run as Python. An expression that begins with - stands behind --.

    \b
    gradcli expr '3*a**3 - b**2' --var a=2,3 --var b=6,4 --gradient 1,1
    gradcli expr 'softmax(w @ x, 0).log()[1]' -x w='randn(3,2)' -x x=1,2 --check
    gradcli expr 'Q = 3*a**3 - b**2' -x a=2,3 -x b=6,4 --graph -o Q.svg
    gradcli grads --param fc.bias --format npy | gradcli expr 'norm(g)' -x g=@-
    """
    if graph:
        if gradient is not None or jacobian or hessian or jvp or check:
            raise UsageError("--graph shows the graph alone; leave out the options that ask for derivatives")
    elif format in _GRAPH_FORMATS:
        raise UsageError(f"--format {format} is one of the graph's; add --graph")
    destination = output.resolve(format, (*_GRAPH_FORMATS, "json") if graph else get_args(ValueFormat))
    import numpy as np

    from gradcli.inspection import expressions
    from gradcli.ops.random import manual_seed

    manual_seed(seed)
    parsed = expressions.parse_expression(expression)
    variables = expressions.read_variables(var or (), no_grad or (), np.dtype(dtype))
    if graph:
        from gradcli.inspection.expressions.graph import record_expression_graph

        _write_graph(destination, expression, record_expression_graph(parsed, variables, np.dtype(dtype)))
        return
    differentiation = expressions.Differentiation(parsed, variables, np.dtype(dtype))
    value = differentiation.value
    others_asked_for = jacobian or hessian or bool(jvp) or check
    results: dict[str, Any] = {
        # Other derivatives need no vector; without them, one that is missing is an error.
        "grads": None
        if others_asked_for and gradient is None and value.array.size != 1
        else differentiation.gradients(gradient),
        "jacobian": differentiation.jacobian() if jacobian else None,
        "hessian": differentiation.hessian() if hessian else None,
        "jvp": differentiation.jvp(jvp) if jvp else None,
    }
    checked = expressions.check_derivatives(differentiation) if check else []
    _write(destination, expression, value, results, checked)
    expressions.require_checked(checked)


def _write_graph(destination: Output, expression: str, graph: RecordedGraph) -> None:
    from gradcli.cli.graph import write_graph

    if destination.format != "json":
        write_graph(destination, graph)
        return
    document = {
        "expression": expression,
        "saved_bytes": graph.saved_bytes,
        "saved_bytes_of_leaves": graph.saved_bytes_of_leaves,
        "edges": graph.edges,
    }
    records = [node.record() for node in graph.nodes]
    dataclasses.replace(destination, command="expr.graph").write_records(
        records, [], document=document, records_field="nodes"
    )


def _write(
    destination: Output, expression: str, value: Value, results: dict[str, Any], checked: list[CheckedVariable]
) -> None:
    if destination.format == "json":
        document = {
            "expression": expression,
            "value": value.array,
            "shape": value.array.shape,
            "dtype": str(value.array.dtype),
            "requires_grad": value.tensor.requires_grad,
            "grad_fn": value.grad_fn,
            **results,
        }
        destination.write_records(checked, CHECK_COLUMNS, document=document, records_field="checks")
        return
    arrays = _named_arrays(value, results)
    if destination.format == "npz":
        destination.write_arrays({name: array for name, array in arrays.items() if array is not None})
        return
    rows = [_row(name, array, shorten=destination.is_terminal) for name, array in arrays.items()]
    rows += [{**dataclasses.asdict(each), "name": f"{each.name}.check"} for each in checked]
    recorded = f"grad_fn {value.grad_fn}" if value.grad_fn else "nothing is recorded: no gradient leads through it"
    destination.write_records(rows, [*COLUMNS, *CHECK_COLUMNS] if checked else COLUMNS, caption=recorded)


def _named_arrays(value: Value, results: dict[str, Any]) -> dict[str, np.ndarray | None]:
    """Every array by the name that a row or a file has for it; None for a gradient that there isn't."""
    arrays: dict[str, Any] = {"value": value.array}
    for name, array in (results["grads"] or {}).items():
        arrays[f"{name}.grad"] = array
    for name, array in (results["jacobian"] or {}).items():
        arrays[f"{name}.jacobian"] = array
    for first, blocks in (results["hessian"] or {}).items():
        for second, array in blocks.items():
            arrays[f"{first}.{second}.hessian"] = array
    if results["jvp"] is not None:
        arrays["jvp"] = results["jvp"]
    return arrays


def _row(name: str, array: np.ndarray | None, *, shorten: bool) -> dict[str, Any]:
    if array is None:
        return {"name": name}
    shown = array.ravel()[:SHOWN_ON_A_TERMINAL] if shorten and array.size > SHOWN_ON_A_TERMINAL else array
    # Through its text a float32 has the digits that tell it from its neighbours, and no more.
    numbers = (shown.astype(str).astype(float) if shown.dtype.kind == "f" else shown).tolist()
    values = strict_json(numbers) if array.ndim else numbers
    if shown is not array:
        values = f"{values[:-1]}, ...] of {array.size:,} numbers; -o FILE.npz holds all"
    return {"name": name, "shape": array.shape, "dtype": str(array.dtype), "values": values}
