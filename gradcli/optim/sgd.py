"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any

from gradcli.autograd import Tensor
from gradcli.autograd.versions import record_change
from gradcli.kernels.sgd import Rule, Update, empty_momentum_buffer, sgd_update
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

    def update(self, parameters: list[Tensor], group: dict[str, Any], *, measured: bool) -> float:
        rule = Rule(*[group[name] for name in Rule._fields])
        updates, new_buffers = [], {}
        for parameter in parameters:
            array, state, buffer = parameter.array, self.state.get(parameter), None
            if state is not None and (kept := state.get("momentum_buffer")) is not None:
                buffer = kept.array
            first_step = buffer is None
            if first_step and rule.momentum != 0:
                buffer = empty_momentum_buffer(array)
                new_buffers[parameter] = Tensor(buffer)
            gradient = parameter.grad
            assert gradient is not None
            updates.append(Update(array, gradient.deferred_array(), buffer, first_step))
        squares = sgd_update(updates, rule, measured=measured)
        for update in updates:
            record_change(update.parameter)
        for parameter, new_buffer in new_buffers.items():
            self.state[parameter] = {"momentum_buffer": new_buffer}
        return squares
