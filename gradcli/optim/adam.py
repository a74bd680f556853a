"""Adam, whose steps are scaled by a running mean of squared gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcli.autograd import Tensor
from gradcli.kernels.adam import AdamRule
from gradcli.kernels.parameter_updates import Update, zero_state
from gradcli.optim.optimizer import Move, Optimizer, Parameters


class Adam(Optimizer):
    """Adam (Kingma and Ba, 2015): `torch.optim.Adam`'s meaning and numbers to rounding.

    With g = grad + weight_decay * p, means m of g and v of its square run along, `betas` being their memories, and p
    moves by -lr * m / (sqrt(v) + eps), where m and v are corrected for having started at zero. `amsgrad` takes the
    largest v so far, `maximize` climbs, `decoupled_weight_decay` is AdamW. The state of a parameter is `step`,
    `exp_avg`, `exp_avg_sq` and, with `amsgrad`, `max_exp_avg_sq`.

    `foreach`, `fused` and `capturable` belong to PyTorch's signature: they choose between its implementations and
    change nothing here.
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        if not lr >= 0.0:
            raise ValueError(f"Invalid learning rate: {lr}")
        if not eps >= 0.0:
            raise ValueError(f"Invalid epsilon value: {eps}")
        for index, beta in enumerate(betas):
            if not 0.0 <= beta < 1.0:
                raise ValueError(f"Invalid beta parameter at index {index}: {beta}")
        if not weight_decay >= 0.0:
            raise ValueError(f"Invalid weight_decay value: {weight_decay}")
        if differentiable:
            name = type(self).__name__
            raise NotImplementedError(
                f"{name} steps that are recorded themselves (differentiable=True) are not supported"
            )
        options = {
            "lr": lr,
            "betas": tuple(betas),
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, options)

    def moves(self, parameters: list[Tensor], group: dict[str, Any]) -> list[Move]:
        beta1, beta2 = group["betas"]
        rules: dict[int, AdamRule] = {}  # parameters that sat steps out count fewer
        moves = []
        for parameter in parameters:
            array, gradient = parameter.array, parameter.grad
            assert gradient is not None
            state = self.state.get(parameter, {})
            step = int(state.get("step", 0)) + 1
            if step not in rules:
                rules[step] = AdamRule(
                    step=step,
                    lr=group["lr"],
                    beta1=beta1,
                    beta2=beta2,
                    eps=group["eps"],
                    weight_decay=group["weight_decay"],
                    decoupled=group["decoupled_weight_decay"],
                    amsgrad=group["amsgrad"],
                    maximize=group["maximize"],
                )
            names = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq") if group["amsgrad"] else ("exp_avg", "exp_avg_sq")
            means = {name: state[name] if name in state else Tensor(zero_state(array)) for name in names}
            update = Update(array, gradient.deferred_array(), tuple(mean.array for mean in means.values()), rules[step])
            # A number of type float32, as PyTorch keeps it.
            moves.append(Move(parameter, update, {**state, "step": Tensor(np.array(step, np.float32)), **means}))
        return moves
