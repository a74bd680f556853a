"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any

from gradcli.autograd import Tensor
from gradcli.kernels.layout import Array
from gradcli.kernels.parameter_updates import Update, empty_state
from gradcli.kernels.sgd import SGDRule
from gradcli.optim.optimizer import Move, Optimizer, Parameters


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

    def moves(self, parameters: list[Tensor], group: dict[str, Any]) -> list[Move]:
        momentum = group["momentum"]
        options = {name: group[name] for name in SGDRule._fields if name != "first_step"}
        first, later = SGDRule(**options, first_step=True), SGDRule(**options, first_step=False)
        moves = []
        for parameter in parameters:
            array, gradient = parameter.array, parameter.grad
            assert gradient is not None
            states: tuple[Array, ...] = ()
            rule, state = later, None
            if momentum:
                kept = self.state.get(parameter, {}).get("momentum_buffer")
                buffer: Tensor = Tensor(empty_state(array)) if kept is None else kept
                if kept is None:
                    rule, state = first, {"momentum_buffer": buffer}
                states = (buffer.array,)
            moves.append(Move(parameter, Update(array, gradient.deferred_array(), states, rule), state))
        return moves
