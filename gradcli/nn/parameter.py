"""Parameter: a tensor that a Module counts as its own and an optimizer moves."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcli.autograd import Tensor


class Parameter(Tensor):
    """A leaf that requires gradients unless told otherwise; assigned to a Module it is registered there."""

    __slots__ = ()

    def __init__(self, data: Tensor | np.ndarray[Any, Any], requires_grad: bool = True) -> None:
        super().__init__(data.array if isinstance(data, Tensor) else data, requires_grad)

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()
