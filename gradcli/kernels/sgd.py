"""Stochastic gradient descent, in PyTorch's order of operations."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gradcli.kernels import memory
from gradcli.kernels.layout import Array


class SGDRule(NamedTuple):
    """How `update_parameters` moves parameters in stochastic gradient descent, as `torch.optim.SGD` does.

    With g = ±gradient + weight_decay * p (minus when `maximize`), the state, a momentum buffer, becomes
    momentum * buffer + (1 - dampening) * g and p moves by -lr times the buffer, or by -lr * (g + momentum * buffer)
    with `nesterov`. On the first step the buffer, whatever is in it, becomes g itself, without dampening. Without
    momentum there is no state, and p moves by -lr * g.
    """

    lr: float
    momentum: float
    dampening: float
    weight_decay: float
    nesterov: bool
    maximize: bool
    first_step: bool

    @property
    def shrink(self) -> float:
        return 1.0

    def change(self, values: Array, gradient: Array, *states: Array) -> Array:
        """lr times the direction of the step; moves the momentum buffer."""
        direction = memory.scratch("sgd.direction", values.shape, values.dtype)
        product = memory.scratch("sgd.product", values.shape, values.dtype)
        if self.maximize:
            gradient = np.negative(gradient, out=direction)
        if self.weight_decay:
            np.multiply(values, self.weight_decay, out=product)
            gradient = np.add(gradient, product, out=direction)
        if self.momentum:
            (buffer,) = states
            if self.first_step:
                np.copyto(buffer, gradient)
            else:
                np.multiply(buffer, self.momentum, out=buffer)
                if self.dampening:
                    np.add(buffer, np.multiply(gradient, 1 - self.dampening, out=product), out=buffer)
                else:
                    np.add(buffer, gradient, out=buffer)
            if self.nesterov:
                np.multiply(buffer, self.momentum, out=product)
                gradient = np.add(gradient, product, out=direction)
            else:
                gradient = buffer
        return np.multiply(gradient, self.lr, out=product)
