"""The receipt of what a run froze: the SHA-256 of every tensor that must not move, before and after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gradcli.errors import CheckError
from gradcli.nn import BatchNorm2d
from gradcli.training.state_digests import combined_digest

if TYPE_CHECKING:
    from gradcli.models import ResNet


def resting_names(model: ResNet) -> list[str]:
    """The parameters that don't train and the statistics of batch norms that rest, in the modes of training."""
    frozen = [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
    return frozen + [name for name, norm in _statistics(model) if not norm.training]


def moving_statistics(model: ResNet) -> list[str]:
    """The statistics of batch norms that move although the weight and bias of these are frozen."""
    return [
        name
        for name, norm in _statistics(model)
        if norm.training and not any(parameter.requires_grad for parameter in norm.parameters())
    ]


@dataclass(frozen=True)
class FrozenReceipt:
    """What must not move, as SHA-256 by name before and after, and statistics that move although they are frozen."""

    before: dict[str, str]
    after: dict[str, str]
    moving: list[str]

    @property
    def moved(self) -> list[str]:
        """What moved all the same."""
        return [name for name, digest in self.before.items() if self.after[name] != digest]

    def to_dict(self) -> dict[str, Any]:
        """As values for JSON: the digest of each tensor once, and of all together before and after."""
        return {
            "held": not self.moved,
            "sha256_before": combined_digest(self.before),
            "sha256_after": combined_digest(self.after),
            "moved": self.moved,
            "moving_statistics": self.moving,
            "tensors": self.before,
        }

    def check(self) -> None:
        """CheckError if a bit moved."""
        if self.moved:
            others = f" and {len(self.moved) - 1} more" if len(self.moved) > 1 else ""
            raise CheckError(
                f"{self.moved[0]}{others} moved although frozen: SHA-256 {self.before[self.moved[0]]} before the run, "
                f"{self.after[self.moved[0]]} after it; expected the same bits"
            )


def _statistics(model: ResNet) -> list[tuple[str, BatchNorm2d]]:
    return [
        (f"{name}.{buffer}", module)
        for name, module in model.named_modules()
        if isinstance(module, BatchNorm2d)
        for buffer, _ in module.named_buffers()
    ]
