"""Gradients by layer, by block of the network, or by kind of parameter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gradcli.inspection.gradients.choices import Grouping
from gradcli.inspection.gradients.statistics import norm_of
from gradcli.kernels.statistics import Array
from gradcli.models import ResNet
from gradcli.models.stages import split_into_blocks


@dataclass(frozen=True, kw_only=True)
class LayerGradient:
    """A layer's gradients together: Euclidean norm, and how many numbers they are."""

    name: str
    norm: float
    numel: int


def groups_of_parameters(model: ResNet, grouping: Grouping) -> dict[str, str]:
    """The group of each parameter.

    `layer`: the module that owns it, such as `layer1.0.conv1`; `block`: `stem`, `layer1.0` to `layer4.1`, `fc`;
    `kind`: the type of that module and the parameter's own name, such as `Conv2d.weight` or `BatchNorm2d.bias`.
    """
    names = [name for name, _ in model.named_parameters()]
    if grouping == "layer":
        return {name: layer_of(name) for name in names}
    if grouping == "block":
        return {name: block.name for block in split_into_blocks(model.stages()) for name, _ in block.named_parameters()}
    return {name: f"{type(model.get_submodule(owner_of(name))).__name__}.{name.rpartition('.')[2]}" for name in names}


def owner_of(name: str) -> str:
    """The dotted path of the module that owns a parameter; empty for the model itself."""
    return name.rpartition(".")[0]


def layer_of(name: str) -> str:
    """The layer of a parameter; what no layer owns, such as the input, is its own."""
    return owner_of(name) or name


def grouped(gradients: Mapping[str, Array], group_of: Mapping[str, str]) -> dict[str, list[Array]]:
    """The arrays of each group, in the model's order; what `group_of` does not name is a group by itself."""
    groups: dict[str, list[Array]] = {}
    for name, array in gradients.items():
        groups.setdefault(group_of.get(name, name), []).append(array)
    return groups


def norms_by_layer(gradients: Mapping[str, Array]) -> list[LayerGradient]:
    """The gradients' norms, of each layer's parameters together, in the model's order."""
    layers = grouped(gradients, {name: layer_of(name) for name in gradients})
    return [
        LayerGradient(name=layer, norm=norm_of(arrays), numel=sum(array.size for array in arrays))
        for layer, arrays in layers.items()
    ]
