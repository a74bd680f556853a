"""Gradient norms and update ratios of the layers while a run trains, as records of `metrics.jsonl`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcli.errors import UsageError
from gradcli.kernels.statistics import Array, sum_of_squares
from gradcli.nn.module import Module

KIND = "gradients"
"""What tells these records from those of epochs, which have no `kind`."""


@dataclass(frozen=True)
class LogInterval:
    """After how many optimizer steps of the run gradients are logged again; None: at the last step of each epoch."""

    steps: int | None

    @classmethod
    def parse(cls, text: str) -> LogInterval:
        """Read `epoch` or a number of steps, `50` or `50 steps`; UsageError for else."""
        if text.strip() == "epoch":
            return cls(None)
        number = text.strip().removesuffix("steps").removesuffix("step").rstrip()
        if number.isascii() and number.isdigit() and int(number) > 0:
            return cls(int(number))
        raise UsageError(f"--log-grads {text}: expected epoch, or a number of steps above 0")


class GradientLog:
    """Measures optimizer steps and hands the records to `write`.

    A record has `kind` "gradients", `epoch`, `step` (of the whole run, from 1), `lr`, `loss`, `grad_norm` and
    `update_ratio` of all parameters that train, and the same by layer as `layers`, in the model's order. The loss is
    the mean over the step's images, before it moved the weights. Norms are Euclidean, of the mean gradient that the
    step is made from, before --clip-norm scales it. An update ratio is the norm of what the step
    really changed, momentum, weight decay and clipping included, by that of the weights before; None for weights that
    were all zero. What is not finite is "nan", "inf" or "-inf", as strict JSON has no numbers for it.
    """

    def __init__(
        self, model: Module, interval: LogInterval, steps_per_epoch: int, write: Callable[[Mapping[str, Any]], None]
    ) -> None:
        self._model = model
        self._interval = interval
        self._steps_per_epoch = steps_per_epoch
        self._write = write

    @contextmanager
    def measured(self, epoch: int, step: int, *, lr: float, loss: float) -> Iterator[None]:
        """Around what an optimizer step does to gradients and weights: `step` is the epoch's, from 1."""
        total = (epoch - 1) * self._steps_per_epoch + step
        every = self._interval.steps
        if step != self._steps_per_epoch if every is None else total % every:
            yield
            return
        trained = [(name, each, each.grad) for name, each in self._model.named_parameters() if each.grad is not None]
        parameters = {name: parameter for name, parameter, _ in trained}
        gradients = {name: sum_of_squares(gradient.array) for name, _, gradient in trained}
        before = {name: each.array.copy() for name, each in parameters.items()}
        yield
        weights = {name: sum_of_squares(array) for name, array in before.items()}
        updates = {name: _squared_distance(each.array, before[name]) for name, each in parameters.items()}
        layers: dict[str, list[str]] = {}
        for name in parameters:
            layers.setdefault(name.rpartition(".")[0] or name, []).append(name)

        def described(names: Iterable[str]) -> dict[str, Any]:
            names = list(names)
            update, weight = (_root_of_sum(squares, names) for squares in (updates, weights))
            return {
                "grad_norm": _strict(_root_of_sum(gradients, names)),
                "update_ratio": _strict(update / weight) if weight else None,
            }

        self._write(
            {
                "kind": KIND,
                "epoch": epoch,
                "step": total,
                "lr": lr,
                "loss": _strict(loss),
                **described(parameters),
                "layers": [{"name": layer, **described(names)} for layer, names in layers.items()],
            }
        )


def is_gradient_record(record: Mapping[str, Any]) -> bool:
    """Whether a record of `metrics.jsonl` is one of gradients, and whole."""
    return record.get("kind") == KIND and all(isinstance(record.get(field), int) for field in ("epoch", "step"))


def with_gradients(
    epochs: Iterable[Mapping[str, Any]], written: Iterable[Mapping[str, Any]], steps: int
) -> list[Mapping[str, Any]]:
    """The records of epochs and, of those `written` so far, the ones of gradients up to this step of the run.

    In the order in which a run that was never stopped writes them.
    """
    gradients = [record for record in written if is_gradient_record(record) and record["step"] <= steps]
    records: list[Mapping[str, Any]] = []
    last = 0
    for epoch in epochs:
        last = epoch["epoch"]
        records += [record for record in gradients if record["epoch"] == last]
        records.append(epoch)
    return records + [record for record in gradients if record["epoch"] > last]


def _root_of_sum(squares: Mapping[str, float], names: Iterable[str]) -> float:
    total = sum(squares[name] for name in names)
    return math.sqrt(total) if total == total else math.nan


def _squared_distance(one: Array, other: Array) -> float:
    """The sum of the squares of all differences, computed into the memory of `other`."""
    np.subtract(one, other, out=other)
    return sum_of_squares(other)


def _strict(number: float) -> float | str:
    return number if math.isfinite(number) else repr(number)
