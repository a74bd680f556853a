"""Batch normalization layers."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from gradcli.autograd import Tensor
from gradcli.nn import init
from gradcli.nn.module import Module
from gradcli.nn.parameter import Parameter
from gradcli.ops.normalization import batch_norm


class BatchNorm2d(Module):
    """Normalizes each channel of (N, C, H, W): by the batch in training, by the running statistics in evaluation.

    `momentum=None` averages over all batches seen. Meaning as `torch.nn.BatchNorm2d`.
    """

    optional_buffers: ClassVar[tuple[str, ...]] = ("num_batches_tracked",)

    weight: Parameter | None
    bias: Parameter | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        for name in ("weight", "bias"):
            self.register_parameter(name, Parameter(np.empty(num_features, np.float32)) if affine else None)
        tracked = {
            "running_mean": np.empty(num_features, np.float32),
            "running_var": np.empty(num_features, np.float32),
            "num_batches_tracked": np.zeros((), np.int64),
        }
        for name, initial in tracked.items():
            self.register_buffer(name, Tensor(initial) if track_running_stats else None)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Mean 0, variance 1, no batch seen."""
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            init.zeros_(self.running_mean)
            init.ones_(self.running_var)
            init.zeros_(self.num_batches_tracked)

    def reset_parameters(self) -> None:
        """Weight 1, bias 0, and the running statistics as at the start."""
        self.reset_running_stats()
        if self.weight is not None and self.bias is not None:
            init.ones_(self.weight)
            init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Any:
        if input.ndim != 4:
            raise ValueError(f"expected 4D input (got {input.ndim}D input)")
        training, momentum = self.training, self.momentum
        if training and (seen := self.num_batches_tracked) is not None:
            seen.array[...] += 1
            if momentum is None:
                momentum = 1 / seen.item()
        running_mean = self.running_mean
        return batch_norm(
            input,
            running_mean,
            self.running_var,
            self.weight,
            self.bias,
            training or running_mean is None,
            0.0 if momentum is None else momentum,
            self.eps,
        )

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"track_running_stats={self.track_running_stats}"
        )
