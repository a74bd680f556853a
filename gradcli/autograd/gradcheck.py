"""Gradients against finite differences: whether backward gives what a function's values say, entry by entry.

Names, arguments and meaning as `torch.autograd.gradcheck`.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from gradcli.autograd.dtypes import Array
from gradcli.autograd.engine import grad
from gradcli.autograd.gradient_checks import (
    Function,
    GradcheckError,
    GradientChecks,
    Tolerances,
    as_tuple,
    differentiable,
    outputs_of,
    requires_grad,
)
from gradcli.autograd.tensor import Tensor

__all__ = ["GradcheckError", "gradcheck", "gradgradcheck"]

Inputs = Tensor | Sequence[Any]

NO_INPUT = "gradcheck expects at least one input tensor to require gradient, but none of them have requires_grad=True."


def gradcheck(
    func: Function,
    inputs: Inputs,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:
    """True if the gradients of `func(*inputs)` are those of central differences with a step of `eps`.

    Checked with respect to every input that requires gradients, which should be float64 and is perturbed where it is
    stored: every entry of each Jacobian must be within `atol + rtol * |numerical|`. Also that backward gives the same
    twice (within `nondet_tol`), zero for a gradient of zero, and, with `check_undefined_grad`, that it does without
    the gradient of any one of several outputs; with `check_grad_dtypes`, that gradients have their inputs' types.
    `fast_mode` compares one random direction instead of all entries.

    Raises GradcheckError, which shows both Jacobians and their worst entry, or returns False without
    `raise_exception`. ValueError if no input requires gradients, RuntimeError for one whose elements share memory,
    AssertionError if perturbed inputs change an output's shape or type. Forward mode, batched gradients and sparse
    tensors don't exist here, and their options are refused (NotImplementedError).
    """
    if not (check_forward_ad or check_backward_ad):
        raise AssertionError("Expected at least one of check_forward_ad or check_backward_ad to be True")
    _refuse(
        check_batched_grad=check_batched_grad,
        check_batched_forward_grad=check_batched_forward_grad,
        check_forward_ad=check_forward_ad,
        masked=masked,
    )
    tolerances = Tolerances(eps, atol, rtol, nondet_tol)
    check = GradientChecks(func, as_tuple(inputs), tolerances, check_grad_dtypes)
    return _passes(check, fast_mode, check_undefined_grad, raise_exception)


def gradgradcheck(
    func: Function,
    inputs: Inputs,
    grad_outputs: Inputs | None = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    fast_mode: bool = False,
    masked: bool = False,
) -> bool:
    """True if the gradients of the gradients of `func(*inputs)` are those of central differences.

    What is checked, as `gradcheck` does it, is `grad(func(*inputs), inputs, grad_outputs, create_graph=True)` as a
    function of both `inputs` and `grad_outputs`. These have the outputs' shapes; left out, they are drawn
    from the default generator, uniform in [-1, 1), and strided with `gen_non_contig_grad_outputs`. Other arguments and
    errors as `gradcheck`.
    """
    if not (check_fwd_over_rev or check_rev_over_rev):
        raise AssertionError("Expected at least one of check_fwd_over_rev or check_rev_over_rev to be True")
    _refuse(check_batched_grad=check_batched_grad, check_fwd_over_rev=check_fwd_over_rev, masked=masked)
    given = as_tuple(inputs)
    chosen = [index for index, tensor in enumerate(given) if requires_grad(tensor)]
    if not chosen:
        raise ValueError(NO_INPUT)
    if grad_outputs is None:
        weights = _random_weights(differentiable(outputs_of(func, given)), gen_non_contig_grad_outputs)
    else:
        weights = as_tuple(grad_outputs)
        if not all(isinstance(weight, Tensor) for weight in weights):
            raise TypeError("grad_outputs must be a Tensor, or a tuple of them, for each differentiable output")

    def gradient(*tensors: Any) -> tuple[Tensor | None, ...]:
        outputs = differentiable(outputs_of(func, tensors[: len(given)]))
        if not outputs:
            return ()
        return grad(
            outputs,
            [tensors[index] for index in chosen],
            tensors[len(given) :],
            create_graph=True,
            allow_unused=True,
        )

    check = GradientChecks(
        gradient,
        given + weights,
        Tolerances(eps, atol, rtol, nondet_tol),
        check_grad_dtypes,
        output_name=lambda index: f"the gradient of input {chosen[index]}",
        input_name=lambda index: f"input {index}" if index < len(given) else f"grad_outputs[{index - len(given)}]",
    )
    return _passes(check, fast_mode, check_undefined_grad, raise_exception)


def _passes(check: GradientChecks, fast_mode: bool, check_undefined_grad: bool, raise_exception: bool) -> bool:
    _check_inputs(check)
    try:
        check.run(fast_mode, check_undefined_grad)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def _check_inputs(check: GradientChecks) -> None:
    if not check.leaves:
        raise ValueError(NO_INPUT)
    for leaf in check.leaves:
        name, array = check.input_name(leaf.position), leaf.tensor.array
        if array.dtype != np.float64:
            warnings.warn(
                f"{name} requires gradient and is not a double precision floating point. This check will likely fail "
                "if all the inputs are not of double precision floating point.",
                stacklevel=4,
            )
        if _repeats_memory(array):
            raise RuntimeError(
                f"{name} has elements that share memory. gradcheck only supports inputs that are non-overlapping; "
                "clone the input before passing it to gradcheck."
            )
        if not array.flags.writeable:
            raise RuntimeError(f"{name} is read-only memory, which gradcheck can't perturb; clone it first.")


def _repeats_memory(array: Array) -> bool:
    """Whether two elements are stored at the same place."""
    offsets = np.zeros((), np.int64)
    for size, stride in zip(array.shape, array.strides, strict=True):
        offsets = offsets[..., np.newaxis] + stride * np.arange(size)
    return bool(np.unique(offsets).size < array.size)


def _refuse(**options: bool | None) -> None:
    for name, value in options.items():
        if value:
            raise NotImplementedError(
                f"{name}=True is not supported: there are only gradients of backward, of dense tensors"
            )


def _random_weights(outputs: Sequence[Tensor], strided: bool) -> tuple[Tensor, ...]:
    """Leaves of the outputs' shapes and types, uniform in [-1, 1): PyTorch's numbers, from the default generator."""
    weights = []
    for output in outputs:
        every_other = strided and output.numel() > 1
        shape = (*output.shape[:-1], 2 * output.shape[-1]) if every_other else tuple(output.shape)
        values = np.asarray(2 * Tensor(np.empty(shape, output.array.dtype)).uniform_().array - 1)
        weights.append(Tensor(values[..., 1::2] if every_other else values, requires_grad=True))
    return tuple(weights)
