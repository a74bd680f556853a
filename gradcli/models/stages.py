"""A network as parts in a row, each of which takes what the one before gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from gradcli.autograd import Tensor
from gradcli.deferred import puts_off
from gradcli.nn import Module, Parameter, Sequential


class Stage(NamedTuple):
    """One part: what it is called, its modules by their names in the network, and what it computes."""

    name: str
    modules: Mapping[str, Module]
    compute: Callable[[Tensor], Any]

    def named_modules(self) -> Iterator[tuple[str, Module]]:
        """All its modules, those within others too, by their names in the network."""
        for name, module in self.modules.items():
            yield from module.named_modules(name)

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Its parameters by their names in the network."""
        for name, module in self.modules.items():
            yield from module.named_parameters(name)

    def named_state(self) -> Iterator[tuple[str, Tensor]]:
        """Its parameters and persistent buffers by their names in the network."""
        for name, module in self.modules.items():
            yield from ((f"{name}.{entry}", tensor) for entry, tensor in module.state_dict().items())


@puts_off
def run_stages(stages: Sequence[Stage], x: Tensor) -> Any:
    """What the stages, one after the other, make of `x`."""
    for stage in stages:
        x = stage.compute(x)
    return x


def split_into_blocks(stages: Sequence[Stage]) -> list[Stage]:
    """The same computation in smaller stages: the layers of each `Sequential` by themselves, as `layer1.0`, `layer1.1`.

    One with a hook stays whole, as the hook is called with what all of it gives.
    """
    blocks = []
    for stage in stages:
        layers = stage.compute
        if type(layers) is Sequential and not layers._forward_hooks:
            names = [f"{stage.name}.{position}" for position, _ in layers.named_children()]
            blocks += [Stage(name, {name: layer}, layer) for name, layer in zip(names, layers, strict=True)]
        else:
            blocks.append(stage)
    return blocks
