"""Where numbers that are not finite begin: the first layer of a pass with some in its output, the first gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcli.autograd import Tensor, no_grad
from gradcli.errors import WeightsError
from gradcli.kernels.statistics import first_non_finite

if TYPE_CHECKING:
    from gradcli.models import LoadedModel
    from gradcli.nn import Module


def non_finite_weights(model: Module) -> str | None:
    """How many values of which parameter or buffer, the first of those, are NaN or infinite, in words; None if none."""
    for name, tensor in model.state_dict().items():
        first = first_non_finite(tensor.array)
        if first is not None:
            count = np.count_nonzero(~np.isfinite(tensor.array))
            return f"{count} of the {tensor.numel()} values of {name} (first at {index_text(first)})"
    return None


def index_text(index: Sequence[int]) -> str:
    """An index as `gradcli trace --inject` takes it: `17,5,1,1`; `0` is that of a tensor without dimensions."""
    return ",".join(map(str, index)) or "0"


def require_finite(loaded: LoadedModel) -> None:
    """WeightsError for a model with NaN or infinity in a parameter or buffer, which names the first such tensor."""
    found = non_finite_weights(loaded.model)
    if found is not None:
        raise WeightsError(f"{loaded.weights}: {found} are not finite; take other weights")


def first_non_finite_output(model: Module, forward: Callable[[], Tensor]) -> str | None:
    """The name of the first layer, in the order of the pass, whose output has NaN or infinity; None without.

    The pass is run again for it. Layers without layers below them are looked at, so that the name is the most exact.
    """
    found: list[str] = []

    def look(name: str) -> Callable[[Any, Any, Any], None]:
        def hook(module: Any, arguments: Any, output: Any) -> None:
            if not found and isinstance(output, Tensor) and not np.isfinite(output.array).all():
                found.append(name)

        return hook

    handles = [
        module.register_forward_hook(look(name))
        for name, module in model.named_modules()
        if next(module.children(), None) is None
    ]
    try:
        with no_grad():
            forward()
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else None


def first_non_finite_gradient(model: Module) -> str | None:
    """The name of the parameter whose gradient has NaN or infinity and that the backward pass came to first."""
    for name, parameter in reversed(list(model.named_parameters())):
        if parameter.grad is not None and not np.isfinite(parameter.grad.array).all():
            return name
    return None
