"""A running average of weights, which validates better than the weights while these still jump about."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from gradcli.nn import Module

Arrays = Mapping[str, np.ndarray[Any, Any]]


class WeightAverage:
    """The exponential moving average of a model's tensors of some names.

    After each step it is `decay` of itself and the rest of the tensors. In its beginning it forgets faster: after n
    steps it keeps no more than (1 + n) / (10 + n), as TensorFlow's `ExponentialMovingAverage`, so that the first
    weights don't stay in it for long. Tensors of whole numbers are copied.
    """

    def __init__(self, decay: float, model: Module, names: Collection[str]) -> None:
        self.decay = decay
        self.steps = 0
        self._model = model
        self._arrays = {name: tensor.array for name, tensor in model.state_dict().items() if name in names}
        self.averages = self._copies()

    def update(self) -> None:
        """Take in the tensors as they are after a step."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for name, array in self._arrays.items():
            average = self.averages[name]
            if average.dtype.kind == "f":
                difference = array - average
                difference *= 1 - decay
                average += difference
            else:
                average[...] = array

    def load(self, averages: Arrays, steps: int) -> None:
        """Go on from averages after so many steps; KeyError or ValueError for those of other tensors."""
        for name, average in self.averages.items():
            average[...] = averages[name]
        self.steps = steps

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Inside the block the model has the averages, and afterwards what it had before."""
        kept = self._copies()
        self._model.load_state_dict(self.averages, strict=False)
        try:
            yield
        finally:
            self._model.load_state_dict(kept, strict=False)

    def _copies(self) -> dict[str, np.ndarray[Any, Any]]:
        return {name: array.copy(order="K") for name, array in self._arrays.items()}
