"""Adam and AdamW, in PyTorch's order of operations."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from gradcli.kernels import memory
from gradcli.kernels.layout import Array


class AdamRule(NamedTuple):
    """How `update_parameters` moves parameters in step number `step` (from 1) of `torch.optim.Adam` or `AdamW`.

    The states are running means m of the gradient g and v of its square, and with `amsgrad` the largest v so far:
    m becomes m + (1 - beta1) * (g - m), v becomes beta2 * v + (1 - beta2) * g * g, and p moves by
    -lr / (1 - beta1^step) * m / (sqrt(v / (1 - beta2^step)) + eps). Weight decay that is `decoupled` shrinks p by
    lr * weight_decay before; otherwise g is the gradient plus weight_decay * p. `maximize` turns the gradient round.

    Kingma and Ba, "Adam: A Method for Stochastic Optimization" (2015); Reddi, Kale and Kumar, "On the Convergence of
    Adam and Beyond" (2018), for `amsgrad`; Loshchilov and Hutter, "Decoupled Weight Decay Regularization" (2019).
    """

    step: int
    lr: float
    beta1: float
    beta2: float
    eps: float
    weight_decay: float
    decoupled: bool
    amsgrad: bool
    maximize: bool

    @property
    def shrink(self) -> float:
        return 1 - self.lr * self.weight_decay if self.decoupled else 1.0

    def change(self, values: Array, gradient: Array, *states: Array) -> Array:
        """The step size times m over the root of v; moves both, and the largest v."""
        mean, square = states[:2]
        direction = memory.scratch("adam.direction", values.shape, values.dtype)
        product = memory.scratch("adam.product", values.shape, values.dtype)
        if self.maximize:
            gradient = np.negative(gradient, out=direction)
        if self.weight_decay and not self.decoupled:
            np.multiply(values, self.weight_decay, out=product)
            gradient = np.add(gradient, product, out=direction)

        share = 1 - self.beta1
        np.subtract(gradient, mean, out=product)
        if share < 0.5:
            np.add(mean, np.multiply(product, share, out=product), out=mean)
        else:  # from the other end, so that a share of 1 gives the gradient itself
            np.subtract(gradient, np.multiply(product, 1 - share, out=product), out=mean)

        np.multiply(gradient, 1 - self.beta2, out=product)
        np.multiply(product, gradient, out=product)
        np.multiply(square, self.beta2, out=square)
        np.add(square, product, out=square)
        if self.amsgrad:
            (_, _, largest) = states
            square = np.maximum(largest, square, out=largest)

        np.sqrt(square, out=product)
        np.divide(product, math.sqrt(1 - self.beta2**self.step), out=product)
        np.add(product, self.eps, out=product)
        np.multiply(mean, self.lr / (1 - self.beta1**self.step), out=direction)
        return np.divide(direction, product, out=direction)
