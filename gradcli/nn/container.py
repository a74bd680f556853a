"""Layers made of layers, and lists of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Self

from gradcli.nn.module import Module


class _Layers(Module):
    """Layers in a row, each a child: what all containers do alike."""

    def __iter__(self) -> Iterator[Module]:
        return self.children()

    def __len__(self) -> int:
        return len(self._modules)

    def append(self, layer: Module) -> Self:
        """Put a layer at the end."""
        self._add(str(len(self)), layer)
        return self

    def _add(self, name: str, layer: Any) -> None:
        if not isinstance(layer, Module):
            raise TypeError(f"{type(layer).__name__} is not a Module subclass")
        self.add_module(name, layer)


class Sequential(_Layers):
    """Layers one after the other, named by their position, or by the keys of one dictionary."""

    def __init__(self, *layers: Module | dict[str, Module]) -> None:
        super().__init__()
        named = layers[0] if len(layers) == 1 and isinstance(layers[0], dict) else dict(enumerate(layers))
        for name, layer in named.items():
            self._add(str(name), layer)

    def forward(self, input: Any) -> Any:
        for layer in self._modules.values():
            if layer is not None:
                input = layer(input)
        return input

    def __getitem__(self, index: int | slice) -> Module:
        layers = list(self.named_children())
        if isinstance(index, slice):
            return Sequential(dict(layers[index]))
        return layers[index][1]


class ModuleList(_Layers):
    """A list of layers, named by their position, for a module whose `forward` calls them itself."""

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__()
        self.extend(modules)

    def __getitem__(self, index: int | slice) -> Module:
        layers = list(self.children())
        return ModuleList(layers[index]) if isinstance(index, slice) else layers[index]

    def extend(self, modules: Iterable[Module]) -> Self:
        """Put layers at the end."""
        for layer in modules:
            self.append(layer)
        return self
