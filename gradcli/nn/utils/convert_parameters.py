"""All parameters of a model as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable

from gradcli.autograd import Tensor, no_grad
from gradcli.ops.joining import cat
from gradcli.ops.shape import reshape


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All elements of all parameters, one parameter after the other, with their history."""
    vector: Tensor = cat([reshape(parameter, (-1,)) for parameter in parameters])
    return vector


@no_grad()
def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Copy the elements of a vector into the parameters, one after the other; what is left over is ignored.

    Raises ValueError, and changes nothing, where there are too few.
    """
    if not isinstance(vec, Tensor):
        raise TypeError(f"expected a Tensor, but got {type(vec).__name__}")
    listed = list(parameters)
    needed = sum(parameter.numel() for parameter in listed)
    if vec.numel() < needed:
        raise ValueError(f"a vector of {vec.numel()} elements for parameters of {needed}")
    first = 0
    for parameter in listed:
        last = first + parameter.numel()
        parameter.copy_(vec[first:last].view(parameter.shape))
        first = last
