"""AdamW: Adam with weight decay that goes past the running means."""

from __future__ import annotations

from gradcli.optim.adam import Adam
from gradcli.optim.optimizer import Parameters


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019): `torch.optim.AdamW`'s meaning.

    Parameters shrink by lr * weight_decay of themselves in each step, beside what `Adam` does without weight decay.
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )
