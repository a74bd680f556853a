"""The stochastic gradient descent update, in place and in PyTorch's order of operations."""

from __future__ import annotations

from typing import Literal

import numpy as np

from gradcli.kernels.layout import Array

BLOCK_ELEMENTS = 1 << 16  # elements updated at a time, so that a block stays in the cache
ACCESS: list[list[Literal["readwrite", "readonly"]]] = [["readwrite"], ["readonly"], ["readwrite"]]


def sgd_update(
    parameter: Array,
    grad: Array,
    momentum_buffer: Array | None,
    *,
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
    maximize: bool,
    first_step: bool,
) -> None:
    """Moves `parameter` one step against `grad`, and `momentum_buffer` with it; both change in place.

    With g = ±grad + weight_decay * parameter (minus when `maximize`), the buffer becomes
    momentum * buffer + (1 - dampening) * g and the parameter moves by -lr times the buffer, or by
    -lr * (g + momentum * buffer) with `nesterov`; without momentum it moves by -lr * g. On the
    `first_step` the buffer's content is ignored and it becomes g itself, without dampening, as in
    PyTorch's `torch.optim.SGD`.

    The three arrays share shape and dtype and may have any strides; equal strides are fastest. `grad` is
    left alone. A missing buffer is right only without momentum. Raises ValueError when they don't match.
    """
    arrays = [parameter, grad] if momentum_buffer is None else [parameter, grad, momentum_buffer]
    for array in arrays:
        if array.shape != parameter.shape or array.dtype != parameter.dtype:
            raise ValueError(
                f"gradient or momentum buffer is {array.dtype} {list(array.shape)}, "
                f"but the parameter is {parameter.dtype} {list(parameter.shape)}"
            )
    if momentum and momentum_buffer is None:
        raise ValueError(f"momentum is {momentum}, which needs a momentum buffer")

    scratch = np.empty(BLOCK_ELEMENTS, parameter.dtype)
    scaled = np.empty(BLOCK_ELEMENTS, parameter.dtype)
    blocks = np.nditer(
        arrays if momentum else [parameter, grad],
        flags=["external_loop", "buffered", "delay_bufalloc", "zerosize_ok"],
        op_flags=ACCESS if momentum else ACCESS[:2],
        order="K",
        buffersize=BLOCK_ELEMENTS,
    )
    with blocks:
        blocks.reset()
        for values, gradient, *buffers in blocks:
            direction, product = scratch[: values.size], scaled[: values.size]
            if maximize:
                np.negative(gradient, out=direction)
                gradient = direction
            if weight_decay:
                np.multiply(values, weight_decay, out=product)
                gradient = np.add(gradient, product, out=direction)
            if momentum:
                (buffer,) = buffers
                if first_step:
                    buffer[...] = gradient
                else:
                    buffer *= momentum
                    if dampening:
                        buffer += np.multiply(gradient, 1 - dampening, out=product)
                    else:
                        buffer += gradient
                if nesterov:
                    np.multiply(buffer, momentum, out=product)
                    gradient = np.add(gradient, product, out=direction)
                else:
                    gradient = buffer
            values -= np.multiply(gradient, lr, out=product)
