"""Layers made of layers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gradcli.nn.module import Module


class Sequential(Module):
    """Layers one after the other, named by their position, or by the keys of one dictionary."""

    def __init__(self, *layers: Module | dict[str, Module]) -> None:
        super().__init__()
        named = layers[0] if len(layers) == 1 and isinstance(layers[0], dict) else dict(enumerate(layers))
        for name, layer in named.items():
            if not isinstance(layer, Module):
                raise TypeError(f"{type(layer).__name__} is not a Module subclass")
            self.add_module(str(name), layer)

    def forward(self, input: Any) -> Any:
        for layer in self._modules.values():
            if layer is not None:
                input = layer(input)
        return input

    def __iter__(self) -> Iterator[Module]:
        return self.children()

    def __len__(self) -> int:
        return len(self._modules)

    def __getitem__(self, index: int | slice) -> Module:
        layers = list(self.named_children())
        if isinstance(index, slice):
            return Sequential(dict(layers[index]))
        return layers[index][1]

    def append(self, layer: Module) -> Sequential:
        """Put a layer at the end."""
        self.add_module(str(len(self)), layer)
        return self
