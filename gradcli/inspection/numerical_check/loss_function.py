"""The loss of a pass as a function of what is moved by a small step: its central differences, and kinks within them."""

from __future__ import annotations

from collections.abc import Sequence
from types import EllipsisType
from typing import Any, NamedTuple

from gradcli.autograd import Tensor
from gradcli.autograd.finite_differences import Numbered, difference_quotients
from gradcli.inspection.module_calls import recorded_module_calls
from gradcli.inspection.numerical_check.comparison import Quotient, relative_error, rounding_of
from gradcli.inspection.numerical_check.switches import Switch, recorded_switches, turned
from gradcli.kernels.policy import using_kernels
from gradcli.kernels.statistics import Array
from gradcli.training.frozen_prefix import CutModel
from gradcli.training.passes import Pass, overflow_allowed


class _Evaluation(NamedTuple):
    loss: float
    switches: list[Switch]


class LossFunction:
    """The loss of a pass, computed from where its model is cut: nothing before that place may move.

    Every pass is recorded as for backward, so that values come about as in the pass that is checked and the graph tells
    which way ReLUs and max pooling went.
    """

    def __init__(self, run: Pass, cut: CutModel) -> None:
        self.run = run
        self.cut = cut
        self._evaluations: list[_Evaluation] = []
        with overflow_allowed(), using_kernels(run.settings.kernels):
            self.features = cut.prefix(run.data)
            self._loss = self._evaluate()

    def quotient(
        self,
        moved: Tensor,
        place: tuple[int, ...] | EllipsisType,
        direction: float | Array,
        step: float,
        analytical: float,
        tolerance: float,
    ) -> Quotient:
        """The central difference for `moved` at `place` along `direction`, beside the analytic derivative."""
        self._evaluations.clear()
        with overflow_allowed(), using_kernels(self.run.settings.kernels):
            (numerical,) = difference_quotients(
                self._called, Numbered(0, moved), [Numbered(0, self._loss)], place, direction, step
            )
        below, above = self._evaluations
        switched = turned(below.switches, above.switches)
        rounding = rounding_of([below.loss, above.loss], step)
        return Quotient(
            step=step,
            numerical=numerical.item(),
            relative_error=relative_error(analytical, numerical.item(), rounding, tolerance),
            switched=sum(switched.values()),
            switched_in=list(switched),
        )

    def _called(self) -> Sequence[Any]:
        return (self._evaluate(),)

    def _evaluate(self) -> Tensor:
        with recorded_module_calls(self.run.model) as calls:
            loss = self.run.loss(self.cut.rest(self.features))
        self._evaluations.append(_Evaluation(loss.item(), recorded_switches(loss, calls)))
        # Without its graph, which would keep what it saved alive.
        return loss.detach()
