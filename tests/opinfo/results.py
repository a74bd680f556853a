"""What one call gives in PyTorch and in gradcli: results, their graph, the inputs afterwards, and gradients."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from opinfo.arguments import Conversion
from opinfo.mismatch import Mismatch, first_line

from gradcli.autograd import Tensor

VALUE_TOLERANCE = 1e-6
GRADIENT_TOLERANCE = 1e-5


def leaves_of(result: Any) -> list[Any]:
    """The tensors and numbers of a result, in order."""
    if isinstance(result, list | tuple):
        return [leaf for part in result for leaf in leaves_of(part)]
    return [result]


def compare_outputs(expected: Any, actual: Any, *, values: bool) -> None:
    """Kind, names of the fields, number, shape, type, values and flags of a result."""
    import torch

    if isinstance(expected, list | tuple):
        if not isinstance(actual, list | tuple) or isinstance(expected, tuple) != isinstance(actual, tuple):
            raise Mismatch(f"gives a {type(actual).__name__}, PyTorch a {type(expected).__name__}")
        if len(actual) != len(expected):
            raise Mismatch(f"gives {len(actual)} results, PyTorch {len(expected)}")
        fields = getattr(type(expected), "__match_args__", ())
        for position, field_name in enumerate(fields):
            if getattr(actual, field_name, None) is not actual[position]:
                raise Mismatch(f"result {position} is not named {field_name}")
    for index, (theirs, ours) in enumerate(zip(leaves_of(expected), leaves_of(actual), strict=True)):
        where = f"result {index}"
        if not isinstance(theirs, torch.Tensor):
            if type(ours) is not type(theirs) or not np.isclose(ours, theirs, equal_nan=True):
                raise Mismatch(f"{where} is {ours!r}, PyTorch's {theirs!r}")
            continue
        compare_tensors(where, theirs, ours, VALUE_TOLERANCE, values=values)
        if ours.requires_grad != theirs.requires_grad:
            raise Mismatch(f"{where} requires_grad={ours.requires_grad}, PyTorch's {theirs.requires_grad}")


def differing_nodes(expected: list[Any], actual: list[Any]) -> Iterator[str]:
    """For each result that a node of another name made than PyTorch's: both names."""
    import torch

    for theirs, ours in zip(expected, actual, strict=True):
        if isinstance(theirs, torch.Tensor):
            node, own = (None if tensor.grad_fn is None else tensor.grad_fn.name() for tensor in (theirs, ours))
            if node != own:
                yield f"{own} for PyTorch's {node}"


def compare_tensors(where: str, theirs: Any, ours: Any, tolerance: float, *, values: bool = True) -> None:
    """Mismatch unless `ours` is a tensor of the same shape, type and values as PyTorch's `theirs`."""
    if not isinstance(ours, Tensor):
        raise Mismatch(f"{where} is a {type(ours).__name__}, PyTorch's a Tensor")
    if tuple(ours.shape) != tuple(theirs.shape):
        raise Mismatch(f"{where} has shape {list(ours.shape)}, PyTorch's {list(theirs.shape)}")
    if repr(ours.dtype) != str(theirs.dtype):
        raise Mismatch(f"{where} is {ours.dtype!r}, PyTorch's {theirs.dtype}")
    if not values:
        return
    detached = theirs.detach()
    # PyTorch has gradients of zeros without memory, which NumPy can't look at.
    a, b = ours.array, (detached.clone() if detached._is_zerotensor() else detached).numpy()
    if a.dtype.kind != "f":
        if not np.array_equal(a, b):
            raise Mismatch(f"{where} differs in {np.count_nonzero(a != b)} of {a.size} places")
        return
    with np.errstate(all="ignore"):
        close = np.isclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True)
        if not close.all():
            worst = np.nanmax(np.where(close, 0, np.nan_to_num(np.abs(a - b), nan=np.inf)))
            raise Mismatch(f"{where} differs in {np.count_nonzero(~close)} of {a.size} places, by up to {worst:.3g}")


def compare_inputs(conversion: Conversion) -> None:
    """Mismatch unless the call left the inputs as PyTorch's did, which changes running statistics and nothing else."""
    for index, (theirs, ours) in enumerate(conversion.pairs):
        compare_tensors(f"after the call tensor argument {index}", theirs, ours, VALUE_TOLERANCE)


def compare_sharing(conversion: Conversion, expected: list[Any], actual: list[Any]) -> None:
    """Mismatch unless each result shares memory with the same arguments as PyTorch's: views do, and nothing else."""
    import torch

    for position, (theirs, ours) in enumerate(zip(expected, actual, strict=True)):
        if not isinstance(theirs, torch.Tensor) or not theirs.numel():
            continue
        for index, (argument, own) in enumerate(conversion.pairs):
            shared = theirs.untyped_storage().data_ptr() == argument.untyped_storage().data_ptr()
            if np.may_share_memory(ours.array, own.array) != shared:
                word = "does not share" if shared else "shares"
                raise Mismatch(f"result {position} {word} memory with tensor argument {index}, unlike PyTorch's")


def compare_gradients(conversion: Conversion, expected: list[Any], actual: list[Any]) -> None:
    """Backward from all differentiable results, with random weights, and the gradients of all inputs."""
    import torch

    generator = np.random.RandomState(0)
    outputs = []
    for theirs, ours in zip(expected, actual, strict=True):
        if isinstance(theirs, torch.Tensor) and theirs.requires_grad:
            weights = np.asarray(generator.standard_normal(tuple(theirs.shape))).astype(ours.array.dtype)
            outputs.append((theirs, ours, weights))
    if not outputs:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            torch.autograd.backward(
                [theirs for theirs, _, _ in outputs], [torch.from_numpy(weights.copy()) for *_, weights in outputs]
            )
        except NotImplementedError:  # as for `acosh_`: nothing to compare with
            return
    try:
        for _, ours, weights in outputs:
            ours.backward(Tensor(weights), retain_graph=True)
    except Exception as error:
        raise Mismatch(f"backward: {type(error).__name__}: {first_line(error)}") from error
    for index, (theirs, ours) in enumerate(conversion.pairs):
        where = f"gradient of tensor argument {index}"
        if (theirs.grad is None) != (ours.grad is None):
            raise Mismatch(f"{where} is {'missing' if ours.grad is None else 'there'}, unlike PyTorch's")
        if theirs.grad is not None:
            compare_tensors(where, theirs.grad, ours.grad, GRADIENT_TOLERANCE)


def compare_dropout(given: Tensor, result: Tensor, p: float) -> None:
    """What holds of any draw: each element is zero or scaled by 1 / (1 - p), and so is its gradient."""
    if result.shape != given.shape or result.dtype is not given.dtype:
        raise Mismatch(f"gives {result.dtype} {list(result.shape)}, not {given.dtype} {list(given.shape)}")
    kept = result.array != 0
    if not np.allclose(result.array, np.where(kept, given.array / (1 - p), 0)):
        raise Mismatch(f"what is kept is not scaled by {1 / (1 - p):.3g}")
    if given.requires_grad:
        result.backward(Tensor(np.ones_like(result.array)))
        if not np.allclose(given.grad.array, np.where(kept | (given.array == 0), kept / (1 - p), 0)):
            raise Mismatch("the gradient does not follow what was kept")
