"""The parameters of a model: shapes, sizes, and which of them train."""

from __future__ import annotations

from dataclasses import dataclass

from gradcli import nn
from gradcli.training.freezing import count_parameters


@dataclass(frozen=True, kw_only=True)
class ParameterRecord:
    """One parameter."""

    name: str
    shape: tuple[int, ...]
    numel: int
    trainable: bool


@dataclass(frozen=True, kw_only=True)
class ParameterListing:
    """All parameters in the model's order. The totals count numbers, not tensors."""

    parameters: list[ParameterRecord]
    numel: int
    trainable: int
    frozen: int


def describe_parameters(model: nn.Module) -> ParameterListing:
    """List the model's parameters."""
    records = [
        ParameterRecord(
            name=name, shape=tuple(parameter.shape), numel=parameter.numel(), trainable=parameter.requires_grad
        )
        for name, parameter in model.named_parameters()
    ]
    count = count_parameters(model.parameters())
    return ParameterListing(parameters=records, numel=count.total, trainable=count.trainable, frozen=count.frozen)
