"""The gradients of a model's parameters, in float64, against central differences: along directions and by entries."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from gradcli.autograd import Tensor
from gradcli.checkpoints.quoting import some_names
from gradcli.errors import CheckError
from gradcli.inspection.gradients.collection import INPUT_NAME, Gradients, collect_gradients
from gradcli.inspection.numerical_check.comparison import Comparison, judged
from gradcli.inspection.numerical_check.loss_function import LossFunction
from gradcli.kernels.statistics import Array
from gradcli.models.stages import split_into_blocks
from gradcli.training.frozen_prefix import CutModel
from gradcli.training.passes import Pass, check_finite_loss, overflow_allowed, run_forward

STEPS = (1e-5, 1e-6, 1e-7)


@dataclass(frozen=True, kw_only=True)
class CheckSettings:
    """What is compared: `samples` entries of each parameter besides a direction, at each of the `steps`.

    `tolerance` is the largest relative error that agrees. Entries and directions are drawn from `seed` and the
    parameter's name.
    """

    samples: int = 2
    steps: Sequence[float] = STEPS
    tolerance: float = 1e-4
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class ParameterCheck:
    """How the gradient of one parameter compares.

    `ok` where no comparison `differs`; `kinks` counts the comparisons with a kink within one of the steps at least,
    `undecided` those that it leaves without a verdict, and `switched_in` names the modules that kinks are in. From
    `max_relative_error` on it is the worst comparison that is decided (of all, if none is).
    """

    name: str
    shape: tuple[int, ...]
    numel: int
    ok: bool
    kinks: int
    undecided: int
    switched_in: list[str]
    max_relative_error: float
    index: tuple[int, ...] | None
    analytical: float
    numerical: float
    step: float
    comparisons: list[Comparison]


class ModelCheck:
    """A check that is ready to run: the analytic gradients are computed, and nothing else.

    The pass is turned into one in float64 for good. UsageError for a pattern without match, a frozen parameter or
    nothing that trains, DivergedError if loss or gradients are not finite.
    """

    def __init__(
        self, run: Pass, settings: CheckSettings, patterns: Sequence[str] = (), *, wrt_input: bool = False
    ) -> None:
        self.run = run
        self.settings = settings
        self.seconds_per_pass = _to_float64(run)
        self.gradients: Gradients = collect_gradients(run, patterns, wrt_input=wrt_input)
        check_finite_loss(self.gradients.loss, run)
        self.gradients.check_finite()
        # None for a parameter that backward did not reach, whose gradient is zero then.
        self._analytical: dict[str, Array | None] = dict.fromkeys(self.gradients.unreached)
        self._analytical |= self.gradients.arrays
        self._tensors: dict[str, Tensor] = dict(run.model.named_parameters()) | {INPUT_NAME: run.data}
        self._stages = split_into_blocks(run.model.stages())
        self._stage_of = {name: k for k, stage in enumerate(self._stages) for name, _ in stage.named_parameters()}

    @property
    def names(self) -> list[str]:
        """What is checked, in the order in which backward comes to it: the parameters from the last, then the input."""
        parameters = [name for name in self._tensors if name in self._analytical and name != INPUT_NAME]
        return parameters[::-1] + [name for name in self._analytical if name == INPUT_NAME]

    @property
    def passes(self) -> int:
        """How many forward passes `results` takes; most begin at the block of the parameter that they are for."""
        comparisons = sum(1 + self._samples(name) for name in self.names)
        blocks = len({self._stage_of.get(name, 0) for name in self.names})
        return 2 * len(self.settings.steps) * comparisons + blocks

    def results(self) -> Iterator[ParameterCheck]:
        """The parameters' checks, one after the other in the order of `names`."""
        function: LossFunction | None = None
        reused = -1
        for name in self.names:
            stage = self._stage_of.get(name, 0)
            if function is None or stage != reused:
                cut = CutModel(self.run.model, self._stages[:stage], self._stages[stage:])
                function, reused = LossFunction(self.run, cut), stage
            yield self._check(name, function)

    def _check(self, name: str, function: LossFunction) -> ParameterCheck:
        tensor, analytical = self._tensors[name], self._analytical[name]
        if analytical is None:
            analytical = np.zeros(tensor.shape)
        generator = np.random.default_rng([self.settings.seed, zlib.crc32(name.encode())])
        direction = generator.standard_normal(tensor.shape)
        direction /= np.linalg.norm(direction.ravel())
        along = float(np.vdot(analytical, direction))
        entries = generator.choice(tensor.numel(), self._samples(name), replace=False)
        comparisons = [self._compare(function, tensor, None, along, direction)]
        for entry in entries:
            index = tuple(int(place) for place in np.unravel_index(entry, tensor.shape))
            comparisons.append(self._compare(function, tensor, index, float(analytical[index]), 1.0))
        return _summed_up(name, tensor, comparisons)

    def _compare(
        self,
        function: LossFunction,
        tensor: Tensor,
        index: tuple[int, ...] | None,
        analytical: float,
        direction: float | Array,
    ) -> Comparison:
        place = ... if index is None else index
        tolerance = self.settings.tolerance
        quotients = [
            function.quotient(tensor, place, direction, step, analytical, tolerance) for step in self.settings.steps
        ]
        return judged(index, analytical, quotients, tolerance)

    def _samples(self, name: str) -> int:
        return min(self.settings.samples, self._tensors[name].numel())


def best_step(checks: Sequence[ParameterCheck]) -> float | None:
    """The step size that agreed best in most of the comparisons that agree, the larger of equals; None without any."""
    counts = Counter(each.step for check in checks for each in check.comparisons if each.verdict == "agrees")
    return max(counts, key=lambda step: (counts[step], step)) if counts else None


def require_agreement(checks: Sequence[ParameterCheck]) -> None:
    """CheckError that names the parameters whose gradients are wrong, and says more of the first in backward order."""
    wrong = [check for check in checks if not check.ok]
    if wrong:
        first = wrong[0]
        place = "along a random direction" if first.index is None else f"at {list(first.index)}"
        raise CheckError(
            f"{len(wrong)} of {len(checks)} gradients are wrong; the first in backward order is {first.name}, {place}: "
            f"analytic {first.analytical:.6g}, numerical {first.numerical:.6g} (step {first.step:g}), relative error "
            f"{first.max_relative_error:.3g}; wrong: {some_names([check.name for check in wrong])}"
        )


def _summed_up(name: str, tensor: Tensor, comparisons: list[Comparison]) -> ParameterCheck:
    kinks = [each for each in comparisons if any(quotient.switched for quotient in each.quotients)]
    decided = [each for each in comparisons if each.verdict != "kink"]
    worst = max(decided or comparisons, key=lambda each: each.relative_error)
    modules = [module for each in kinks for quotient in each.quotients for module in quotient.switched_in]
    return ParameterCheck(
        name=name,
        shape=tuple(tensor.shape),
        numel=tensor.numel(),
        ok=not any(each.verdict == "differs" for each in comparisons),
        kinks=len(kinks),
        undecided=len(comparisons) - len(decided),
        switched_in=list(dict.fromkeys(modules)),
        max_relative_error=worst.relative_error,
        index=worst.index,
        analytical=worst.analytical,
        numerical=worst.numerical,
        step=worst.step,
        comparisons=comparisons,
    )


def _to_float64(run: Pass) -> float:
    """Make weights, input and target float64, and give back the seconds of a forward pass with them.

    A random target is drawn now.
    """
    with overflow_allowed():
        run.model.double()
        run.data = Tensor(run.data.array.astype(np.float64))
    _, _, seconds = run_forward(run, with_loss=True)
    if run.target is not None and run.target.is_floating_point():
        run.target = Tensor(run.target.array.astype(np.float64))
    return seconds
