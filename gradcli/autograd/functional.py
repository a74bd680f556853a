"""Derivatives of functions of tensors: products with the Jacobian or the Hessian, and these matrices themselves.

Names, arguments and results as `torch.autograd.functional`. A function takes one tensor or a tuple of them, as given,
and returns one or a tuple; results have the same structure. Where `strict`, an output that doesn't depend on an input
is an error (RuntimeError) instead of a derivative of zero.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradcli.autograd.engine import grad
from gradcli.autograd.grad_mode import enable_grad
from gradcli.autograd.tensor import Tensor
from gradcli.ops.joining import stack

Tensors = Tensor | tuple[Tensor, ...]
Function = Callable[..., Any]


def vjp(
    func: Function, inputs: Tensors, v: Tensors | None = None, create_graph: bool = False, strict: bool = False
) -> tuple[Tensors, Tensors]:
    """func(*inputs), and the product of the vector `v` with the Jacobian: one backward pass.

    `v` has the shape of the outputs; it may be left out for a single scalar output.
    """
    with enable_grad():
        prepared = _prepared(inputs, create_graph)
        output, outputs = _called(func, prepared, strict)
        vector = _vector(v, outputs, "v", "output of the user-provided function")
        products = gradients_if_any(outputs, prepared, vector, create_graph=create_graph, retain_graph=True)
        products = zero_filled(products, prepared, strict)
    return (
        _as_given(outputs, output, create_graph),
        _as_given(products, inputs, create_graph),
    )


def jvp(
    func: Function, inputs: Tensors, v: Tensors | None = None, create_graph: bool = False, strict: bool = False
) -> tuple[Tensors, Tensors]:
    """func(*inputs), and the product of the Jacobian with the vector `v`, of the shape of the inputs.

    The product with the vector of a vector-Jacobian product is linear in that vector; its own gradient is this one
    (Townsend, "A new trick for calculating Jacobian vector products", 2017). So no Jacobian is needed.
    """
    with enable_grad():
        prepared = _prepared(inputs, create_graph)
        vector = _vector(v, prepared, "v", "input of the user-provided function")
        output, outputs = _called(func, prepared, strict)
        weights = tuple(Tensor(np.zeros_like(out.array), requires_grad=True) for out in outputs)
        gradients = gradients_if_any(outputs, prepared, weights, create_graph=True)
        gradients = zero_filled(gradients, prepared, strict)
        products = gradients_if_any(gradients, weights, vector, create_graph=create_graph)
        filled = zero_filled(products, outputs, strict, "output", "input")
    return _as_given(outputs, output, create_graph), _as_given(filled, output, create_graph)


def jacobian(
    func: Function,
    inputs: Tensors,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """The derivative of every output element with respect to every input element, of shape (*output, *input).

    One backward pass for each output element, or with "forward-mode" one Jacobian-vector product for each input
    element, which pays where there are fewer of these. A tuple for tuple inputs, and of tuples for tuple outputs.
    `vectorize` belongs to PyTorch's signature and changes nothing here.
    """
    if strategy not in ("reverse-mode", "forward-mode"):
        raise ValueError(f'Expected strategy to be either "forward-mode" or "reverse-mode". Got: {strategy!r}')
    if strategy == "forward-mode":
        return _forward_jacobian(func, inputs, create_graph, strict)
    with enable_grad():
        prepared = _prepared(inputs, create_graph)
        output, outputs = _called(func, prepared, strict)
        rows = tuple(_rows_of(out, prepared, create_graph, strict) for out in outputs)
    blocks = tuple(tuple(_finished(block, create_graph) for block in row) for row in rows)
    return _shaped_as_given(blocks, inputs, output)


def _shaped_as_given(blocks: tuple[tuple[Tensor, ...], ...], inputs: Tensors, output: Any) -> Any:
    """The blocks of a Jacobian, by output and input, without the tuples that the function doesn't have."""
    by_output = tuple(row if isinstance(inputs, tuple) else row[0] for row in blocks)
    return by_output if isinstance(output, tuple) else by_output[0]


def _unit_vector(like: Tensor, index: int) -> Tensor:
    """One at that place, counted in row-major order, and zero elsewhere."""
    one = np.zeros(like.numel(), like.array.dtype)
    one[index] = 1
    return Tensor(one.reshape(like.shape))


def _rows_of(out: Tensor, inputs: tuple[Tensor, ...], create_graph: bool, strict: bool) -> list[Tensor]:
    """The Jacobian of one output with respect to each input: a backward pass for each of its elements."""
    rows: list[tuple[Tensor, ...]] = []
    for index in range(out.numel()):
        gradients = gradients_if_any(
            (out,), inputs, (_unit_vector(out, index),), create_graph=create_graph, retain_graph=True
        )
        rows.append(zero_filled(gradients, inputs, strict))
    return [
        stack([row[position] for row in rows]).reshape((*out.shape, *tensor.shape))
        if rows
        else Tensor(np.zeros((*out.shape, *tensor.shape), out.array.dtype))
        for position, tensor in enumerate(inputs)
    ]


def _forward_jacobian(func: Function, inputs: Tensors, create_graph: bool, strict: bool) -> Any:
    """The Jacobian by columns: a Jacobian-vector product for each input element."""
    given = inputs if isinstance(inputs, tuple) else (inputs,)
    output = None
    by_input: list[list[Tensor]] = []  # for each input, the Jacobian of each output
    for position, tensor in enumerate(given):
        columns: list[tuple[Tensor, ...]] = []
        for index in range(tensor.numel()):
            directions = tuple(
                _unit_vector(t, index) if at == position else Tensor(np.zeros_like(t.array))
                for at, t in enumerate(given)
            )
            vector = directions if isinstance(inputs, tuple) else directions[0]
            output, column = jvp(func, inputs, vector, create_graph, strict)
            columns.append(column if isinstance(column, tuple) else (column,))
        if not columns:
            return jacobian(func, inputs, create_graph, strict)
        by_input.append(
            [
                stack([column[number] for column in columns], -1).reshape((*columns[0][number].shape, *tensor.shape))
                for number in range(len(columns[0]))
            ]
        )
    return _shaped_as_given(tuple(zip(*by_input, strict=True)), inputs, output)


def hessian(
    func: Function,
    inputs: Tensors,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """The second derivatives of a function with a single scalar output, of shape (*input, *input).

    A tuple of tuples for tuple inputs.
    """
    given = _checked(inputs, "inputs")

    def gradient(*tensors: Tensor) -> tuple[Tensor, ...]:
        output = _scalar(func(*tensors))
        if strict and not output.requires_grad:
            raise RuntimeError("The output of the user-provided function is independent of the inputs (strict mode).")
        gradients = grad(output, tensors, create_graph=True, allow_unused=True) if output.requires_grad else ()
        return zero_filled(gradients or (None,) * len(tensors), tensors, strict)

    blocks = jacobian(gradient, given, create_graph, strict, strategy=outer_jacobian_strategy)
    return blocks if isinstance(inputs, tuple) else blocks[0][0]


def hvp(
    func: Function, inputs: Tensors, v: Tensors | None = None, create_graph: bool = False, strict: bool = False
) -> tuple[Tensor, Tensors]:
    """func(*inputs), a scalar, and the product of its Hessian with the vector `v`, of the shape of the inputs.

    The Hessian is symmetric, so this is the product of `vhp`.
    """
    return vhp(func, inputs, v, create_graph, strict)


def vhp(
    func: Function, inputs: Tensors, v: Tensors | None = None, create_graph: bool = False, strict: bool = False
) -> tuple[Tensor, Tensors]:
    """func(*inputs), a scalar, and the product of the vector `v` with its Hessian: the gradient of a gradient."""
    with enable_grad():
        prepared = _prepared(inputs, create_graph)
        vector = _vector(v, prepared, "v", "input of the user-provided function")
        output, outputs = _called(func, prepared, strict)
        scalar = _scalar(output)
        gradients = gradients_if_any(outputs, prepared, None, create_graph=True)
        gradients = zero_filled(gradients, prepared, strict)
        products = gradients_if_any(gradients, prepared, vector, create_graph=create_graph)
        filled = zero_filled(products, prepared, strict, "input", "gradient")
    return _finished(scalar, create_graph), _as_given(filled, inputs, create_graph)


# --- reading arguments and shaping results ----------------------------------------------------------------------------


def _checked(given: Any, name: str) -> tuple[Tensor, ...]:
    """The tensor or tensors given, as a tuple; TypeError for anything that is no tensor."""
    tensors = tuple(given) if isinstance(given, tuple | list) else (given,)
    for index, tensor in enumerate(tensors):
        if not isinstance(tensor, Tensor):
            where = f"Value at index {index} of the {name}" if isinstance(given, tuple | list) else f"The {name}"
            raise TypeError(f"{where} must be a Tensor, or a tuple of them, but is a {type(tensor).__name__}.")
    return tensors


def _prepared(inputs: Tensors, create_graph: bool) -> tuple[Tensor, ...]:
    """The inputs as tensors of their own, which derivatives can be taken with respect to."""
    return tuple(
        tensor.view_as(tensor) if create_graph and tensor.requires_grad else tensor.detach().requires_grad_()
        for tensor in _checked(inputs, "inputs")
    )


def _called(func: Function, inputs: tuple[Tensor, ...], strict: bool) -> tuple[Any, tuple[Tensor, ...]]:
    """What the function returns, and that as a tuple."""
    output = func(*inputs)
    outputs = _checked(output, "outputs of the user-provided function")
    if strict:
        for index, out in enumerate(outputs):
            if not out.requires_grad:
                raise RuntimeError(
                    f"Output {index} of the user-provided function does not require gradients. The outputs must be "
                    "computed in a differentiable manner from the input when running in strict mode."
                )
    return output, outputs


def _vector(v: Any, like: Sequence[Tensor], name: str, of: str) -> tuple[Tensor, ...]:
    """The vector as a tuple; ones for a single element where it is left out."""
    if v is None:
        if len(like) != 1 or like[0].numel() != 1:
            raise RuntimeError(f"The vector {name} can only be None if the {of} is a single Tensor with one element.")
        return (Tensor(np.ones_like(like[0].array)),)
    vector = _checked(v, name)
    if len(vector) != len(like):
        raise RuntimeError(f"{name} is a tuple of invalid length: should be {len(like)} but got {len(vector)}.")
    for index, (given, tensor) in enumerate(zip(vector, like, strict=True)):
        if given.shape != tensor.shape:
            raise RuntimeError(
                f"Entry {index} of {name} has invalid size: should be {list(tensor.shape)} but got {list(given.shape)}."
            )
    return vector


def _scalar(output: Any) -> Tensor:
    """The output, which must be a single tensor of one element."""
    if not isinstance(output, Tensor):
        raise RuntimeError("The function given to hessian, hvp or vhp should return a single Tensor")
    if output.numel() != 1:
        raise RuntimeError(
            "The Tensor returned by the function given to hessian, hvp or vhp should contain a single element, but has "
            f"shape {list(output.shape)}"
        )
    return output.reshape(()) if output.ndim else output


def gradients_if_any(
    outputs: Sequence[Tensor],
    inputs: Sequence[Tensor],
    weights: Sequence[Tensor] | None,
    *,
    create_graph: bool,
    retain_graph: bool | None = None,
) -> tuple[Tensor | None, ...]:
    """As `grad`, but None for all where no output depends on anything; outputs that don't are left out."""
    given = weights if weights is not None else (None,) * len(outputs)
    recorded = [(out, weight) for out, weight in zip(outputs, given, strict=True) if out.requires_grad]
    if not recorded:
        return (None,) * len(inputs)
    return grad(
        [out for out, _ in recorded],
        inputs,
        [weight for _, weight in recorded],
        retain_graph=retain_graph,
        create_graph=create_graph,
        allow_unused=True,
    )


def zero_filled(
    gradients: Sequence[Tensor | None],
    like: Sequence[Tensor],
    strict: bool = False,
    of: str = "input",
    by: str = "output",
) -> tuple[Tensor, ...]:
    """The gradients, with zeros where there is none; refused where `strict`."""
    filled = []
    for index, (gradient, tensor) in enumerate(zip(gradients, like, strict=True)):
        if gradient is None and strict:
            raise RuntimeError(
                f"The {by} of the user-provided function is independent of {of} {index}. This is not allowed in strict "
                "mode."
            )
        filled.append(Tensor(np.zeros_like(tensor.array)) if gradient is None else gradient)
    return tuple(filled)


def _finished(tensor: Tensor, create_graph: bool) -> Tensor:
    return tensor if create_graph else tensor.detach()


def _as_given(tensors: Sequence[Tensor], given: Any, create_graph: bool) -> Any:
    """The tensors as a tuple where `given` is one, else the only one; out of the graph unless that was asked for."""
    finished = tuple(_finished(tensor, create_graph) for tensor in tensors)
    return finished if isinstance(given, tuple | list) else finished[0]
