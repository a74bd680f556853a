"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcli.autograd import Tensor
from gradcli.kernels.sgd import sgd_update
from gradcli.optim.optimizer import Optimizer, Parameters


class SGD(Optimizer):
    """Gradient descent with momentum, dampening, weight decay and Nesterov momentum: `torch.optim.SGD`'s meaning.

    With g = grad + weight_decay * p, the momentum buffer b starts as g and then becomes momentum * b +
    (1 - dampening) * g; p moves by -lr * b, or by -lr * (g + momentum * b) with `nesterov`. `maximize` climbs.
    `foreach`, `fused` and `differentiable` belong to PyTorch's signature: the first two choose between its
    implementations and change nothing here.
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        for name, value in (
            ("learning rate", lr),
            ("momentum value", momentum),
            ("weight_decay value", weight_decay),
        ):
            if not value >= 0.0:
                raise ValueError(f"Invalid {name}: {value}")
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        if differentiable:
            raise NotImplementedError("SGD steps that are recorded themselves (differentiable=True) are not supported")
        options = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, options)

    def update(self, parameter: Tensor, group: dict[str, Any]) -> None:
        assert parameter.grad is not None
        buffer = self.state.get(parameter, {}).get("momentum_buffer")
        first_step = buffer is None
        if group["momentum"] != 0 and buffer is None:
            # In the parameter's own memory order, so that the update runs through all three side by side.
            buffer = Tensor(np.empty_like(parameter.array))
        sgd_update(
            parameter.array,
            parameter.grad.array,
            None if buffer is None else buffer.array,
            lr=group["lr"],
            momentum=group["momentum"],
            dampening=group["dampening"],
            weight_decay=group["weight_decay"],
            nesterov=group["nesterov"],
            maximize=group["maximize"],
            first_step=first_step,
        )
        if buffer is not None:
            self.state[parameter] = {"momentum_buffer": buffer}
