"""Gradients of a small network, made by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradcli.inspection.gradients.collection import Gradients

Array = np.ndarray[Any, Any]


@pytest.fixture
def gradients_of() -> Callable[..., Gradients]:
    """Gradients of the arrays given; the weights are all ones unless given too."""

    def build(arrays: dict[str, Array], parameters: dict[str, Array] | None = None, **fields: Any) -> Gradients:
        if parameters is None:
            parameters = {name: np.ones_like(array) for name, array in arrays.items() if name != "input"}
        others = {"unreached": [], "loss": 1.0, "seconds": 0.1, "weights": "random:0", "mode": "train"}
        return Gradients(**{"arrays": arrays, "parameters": parameters, "kernels": "exact"} | others | fields)

    return build
