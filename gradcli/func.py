"""Functions that make derivatives of functions, under the names of `torch.func`: `grad(f)` is a function itself.

They nest. Results stay part of the graph where an argument, or anything else that the function uses, requires
gradients; otherwise they are plain values. `jacobian`, `hvp` and `vhp` are those of `autograd.functional`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gradcli.autograd import functional
from gradcli.autograd.accumulate_grad import AccumulateGrad
from gradcli.autograd.functional import gradients_if_any, hvp, jacobian, vhp, zero_filled
from gradcli.autograd.grad_mode import enable_grad, is_grad_enabled
from gradcli.autograd.graph import Node
from gradcli.autograd.tensor import Tensor

__all__ = ["grad", "grad_and_value", "hessian", "hvp", "jacfwd", "jacobian", "jacrev", "jvp", "vhp", "vjp"]

Function = Callable[..., Any]
ArgNums = int | tuple[int, ...]


def grad(func: Function, argnums: ArgNums = 0, has_aux: bool = False) -> Function:
    """The function that gives the gradient of `func`, which returns a scalar, by its arguments `argnums`.

    With `has_aux`, `func` returns a pair of the scalar and anything, and the new function the gradient and that.
    """
    both = grad_and_value(func, argnums, has_aux)

    def gradient(*args: Any, **kwargs: Any) -> Any:
        derivative, value = both(*args, **kwargs)
        return (derivative, value[1]) if has_aux else derivative

    return gradient


def grad_and_value(func: Function, argnums: ArgNums = 0, has_aux: bool = False) -> Function:
    """As `grad`, but the new function gives the gradient and what `func` returned."""

    def gradient_and_value(*args: Any, **kwargs: Any) -> Any:
        with enable_grad():
            chosen, replaced = _own_arguments(args, argnums)
            value = func(*replaced, **kwargs)
            output = value[0] if has_aux else value
            if not isinstance(output, Tensor) or output.ndim:
                got = f"a tensor of shape {list(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
                raise RuntimeError(
                    f"Expected f(*args) to return a scalar tensor for grad_and_value(f)(*args), got {got}"
                )
            connected = _is_connected([output], args, chosen)
            gradients = gradients_if_any([output], chosen, None, retain_graph=True, create_graph=connected)
            filled = zero_filled(gradients, chosen)
        result = output if connected else output.detach()
        derivative = filled if isinstance(argnums, tuple) else filled[0]
        return derivative, (result, value[1]) if has_aux else result

    return gradient_and_value


def vjp(func: Function, *primals: Tensor, has_aux: bool = False) -> Any:
    """func(*primals), and the function that multiplies a vector of that shape with the Jacobian there.

    It returns one product for each of the primals, always as a tuple. With `has_aux`, `func` returns a pair, of which
    the second comes back as third.
    """
    with enable_grad():
        chosen, replaced = _own_arguments(primals, tuple(range(len(primals))))
        value = func(*replaced)
    output = value[0] if has_aux else value
    outputs = output if isinstance(output, tuple | list) else (output,)
    connected = _is_connected(outputs, primals, chosen)

    def product(*cotangents: Any) -> Any:
        given = cotangents[0] if len(cotangents) == 1 and isinstance(cotangents[0], tuple | list) else cotangents
        create_graph = connected or (is_grad_enabled() and any(t.requires_grad for t in given))
        with enable_grad():
            gradients = gradients_if_any(outputs, chosen, given, retain_graph=True, create_graph=create_graph)
            return zero_filled(gradients, chosen)

    shown = output
    if not connected:
        detached = tuple(out.detach() for out in outputs)
        shown = detached if isinstance(output, tuple | list) else detached[0]
    return (shown, product, value[1]) if has_aux else (shown, product)


def jvp(func: Function, primals: tuple[Tensor, ...], tangents: tuple[Tensor, ...]) -> Any:
    """func(*primals), and the product of the Jacobian there with `tangents`; no Jacobian is computed."""
    connected = any(_requires_gradient(tensor) for tensor in (*primals, *tangents))
    return functional.jvp(func, tuple(primals), tuple(tangents), create_graph=connected)


def jacrev(func: Function, argnums: ArgNums = 0) -> Function:
    """The function that gives the Jacobian of `func` by its arguments `argnums`, by rows: backward passes."""
    return _jacobian_function(func, argnums, "reverse-mode")


def jacfwd(func: Function, argnums: ArgNums = 0) -> Function:
    """The function that gives the Jacobian of `func` by its arguments `argnums`, by columns: for few input elements."""
    return _jacobian_function(func, argnums, "forward-mode")


def hessian(func: Function, argnums: ArgNums = 0) -> Function:
    """The function that gives the second derivatives of `func`, which returns a scalar, by its arguments `argnums`."""
    return jacrev(jacrev(func, argnums), argnums)


def _jacobian_function(func: Function, argnums: ArgNums, strategy: str) -> Function:
    def jacobian_at(*args: Any, **kwargs: Any) -> Any:
        positions = argnums if isinstance(argnums, tuple) else (argnums,)
        chosen = tuple(args[position] for position in positions)

        def of_chosen(*tensors: Tensor) -> Any:
            replaced = list(args)
            for position, tensor in zip(positions, tensors, strict=True):
                replaced[position] = tensor
            return func(*replaced, **kwargs)

        connected = any(map(_requires_gradient, args))
        inputs = chosen if isinstance(argnums, tuple) else chosen[0]
        return functional.jacobian(of_chosen, inputs, create_graph=connected, strategy=strategy)

    return jacobian_at


def _own_arguments(args: Sequence[Any], argnums: ArgNums) -> tuple[tuple[Tensor, ...], list[Any]]:
    """Tensors that derivatives can be taken with respect to, and all arguments with these in their places."""
    replaced = list(args)
    chosen = []
    for position in argnums if isinstance(argnums, tuple) else (argnums,):
        if not -len(args) <= position < len(args):
            raise RuntimeError(f"Got argnum={position}, but only {len(args)} positional inputs")
        tensor = args[position]
        if not isinstance(tensor, Tensor):
            raise RuntimeError(f"Expected argument {position} to be a Tensor, but got {type(tensor).__name__}")
        own = tensor.view_as(tensor) if _requires_gradient(tensor) else tensor.detach().requires_grad_()
        replaced[position] = own
        chosen.append(own)
    return tuple(chosen), replaced


def _requires_gradient(value: Any) -> bool:
    return isinstance(value, Tensor) and value.requires_grad


def _is_connected(outputs: Sequence[Tensor], args: Sequence[Any], own: Sequence[Tensor]) -> bool:
    """Whether what the function computed depends on anything that requires gradients, besides its `own` arguments."""
    if any(map(_requires_gradient, args)):
        return True
    leaves = {id(tensor) for tensor in own}
    waiting: list[Node | None] = [out.grad_fn for out in outputs]
    seen: set[Node] = set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if isinstance(node, AccumulateGrad) and id(node.variable) not in leaves:
            return True
        waiting += [edge.node for edge in node.edges if edge is not None]
    return False
