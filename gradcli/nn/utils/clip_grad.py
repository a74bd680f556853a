"""Gradients that are held to a norm, or to a range, in place.

`foreach` belongs to PyTorch's signatures: it chooses between its implementations and changes nothing here.
"""

from __future__ import annotations

import math
import types
import warnings
from collections.abc import Iterable

import numpy as np

from gradcli.autograd import Tensor, no_grad
from gradcli.autograd.versions import record_change
from gradcli.deferred import DeferredArray, computed, settle_deferred
from gradcli.kernels.clipping import clamp, scale, sums_of_squares
from gradcli.numpy_settings import quietly
from gradcli.ops.norms import vector_norm

Tensors = Tensor | Iterable[Tensor]


def clip_grad_norm_(
    parameters: Tensors,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale the gradients of all parameters so that their norm, as that of one vector, is `max_norm` at most.

    Returns the norm before. Gradients whose norm is NaN become NaN, and zero where it is infinite; RuntimeError, and
    no change, with `error_if_nonfinite`.
    """
    listed = _listed(parameters)
    if isinstance(parameters, types.GeneratorType) and not listed:
        warnings.warn("`parameters` is an empty generator: no gradient is clipped", UserWarning, stacklevel=2)
    gradients = [parameter.grad for parameter in listed if parameter.grad is not None]
    total_norm = get_total_norm(gradients, norm_type, error_if_nonfinite, foreach)
    clip_grads_with_norm_(listed, max_norm, total_norm, foreach)
    return total_norm


def clip_grads_with_norm_(
    parameters: Tensors, max_norm: float, total_norm: Tensor, foreach: bool | None = None
) -> None:
    """Scale the gradients of all parameters by max_norm / (total_norm + 1e-6), unless that is above 1."""
    del foreach
    norm = total_norm.array[()]
    with np.errstate(all="ignore"):
        factor = norm.dtype.type(max_norm) / (norm + norm.dtype.type(1e-6))
    if factor >= 1:
        return
    gradients = _gradients(parameters)
    settle_deferred()  # what was put off may read their old values
    quietly(scale, [gradient.deferred_array() for gradient in gradients], float(factor))
    _record_changes(gradients)


def clip_grad_value_(parameters: Tensors, clip_value: float, foreach: bool | None = None) -> None:
    """Bring every element of the gradients of all parameters into the range from -`clip_value` to `clip_value`."""
    del foreach
    gradients = _gradients(parameters)
    settle_deferred()
    quietly(clamp, [gradient.deferred_array() for gradient in gradients], float(clip_value))
    _record_changes(gradients)


@no_grad()
def get_total_norm(
    tensors: Tensors, norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach: bool | None = None
) -> Tensor:
    """The norm of the norms of all tensors, for norms of positive order that of one vector; 0 of none.

    Computed in double precision, and returned in the tensors' type, the widest of them. A NaN or infinite norm raises
    RuntimeError with `error_if_nonfinite`.
    """
    del foreach
    listed = _listed(tensors)
    order = float(norm_type)
    if not listed:
        return Tensor(np.zeros((), np.float32))
    dtype = np.result_type(*(tensor.dtype.numpy for tensor in listed))
    if order == 2:
        values: list[np.ndarray | DeferredArray] = [tensor.deferred_array() for tensor in listed]
        norm = math.sqrt(sum(sums_of_squares(values)))
        with np.errstate(over="ignore"):
            total = np.asarray(norm, np.float64).astype(dtype)
    else:
        norms = [vector_norm(tensor.detach(), order).array for tensor in listed]
        total = vector_norm(Tensor(np.asarray(norms, dtype)), order).array
    if error_if_nonfinite and not np.isfinite(total):
        raise RuntimeError(
            f"the total norm of order {order} of the gradients is {total.item()}, so they cannot be clipped; "
            "error_if_nonfinite=False scales them all the same"
        )
    return Tensor(total)


def _listed(tensors: Tensors) -> list[Tensor]:
    return [tensors] if isinstance(tensors, Tensor) else list(tensors)


def _gradients(parameters: Tensors) -> list[Tensor]:
    return [parameter.grad for parameter in _listed(parameters) if parameter.grad is not None]


def _record_changes(gradients: list[Tensor]) -> None:
    for gradient in gradients:
        array = computed(gradient.deferred_array())
        if array is not None:
            record_change(array)
