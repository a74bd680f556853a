"""The checks of a self-test, one after the other: a number for each, and the bound that it must keep."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Final

from gradcli.autograd import Tensor
from gradcli.errors import CheckError, UsageError
from gradcli.inspection.selftest import equal_passes, truths
from gradcli.inspection.selftest.subject import Subject
from gradcli.models import load_model
from gradcli.ops.random import manual_seed, rand, randint
from gradcli.training.freezing import FreezeRule, apply_freeze_rules
from gradcli.training.passes import Shape, checked_shape, overflow_allowed

DEFAULT_SHAPE: Final[Shape] = (4, 3, 64, 64)

ROUNDING: Final = 1e-5
"""By what share of their norm sums of float32 in another order may differ."""
FAST_KERNELS: Final = 1e-4
"""What `--kernels fast` promises for gradients, as a share of their norm."""
CANCELLATION: Final = 1e-6
"""What may be left of terms that cancel out, as a share of their sizes together."""


@dataclass(frozen=True, kw_only=True)
class SelfCheck:
    """One check: `value` must be at most `bound` (0: exactly zero) in units that `what` tells."""

    name: str
    what: str
    value: float
    bound: float
    ok: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class _Check:
    name: str
    what: str
    measure: Callable[[Subject], float]
    bound: float = 0.0


CHECKS: Final[Sequence[_Check]] = (
    _Check(
        "parameters",
        "numbers in parameters, beyond or short of 11,176,512 and 513 for each class",
        truths.miscounted_parameters,
    ),
    _Check("tensors", "tensors, beyond or short of 62 parameters and 122 entries of state", truths.miscounted_tensors),
    _Check(
        "fc-bias-gradient",
        "largest |fc.bias.grad - number of images| under (prediction - labels).sum()",
        truths.bias_gradient_error,
    ),
    _Check(
        "fc-weight-rows",
        "largest difference between rows of fc.weight.grad, under the same loss, by their size",
        truths.weight_row_difference,
        CANCELLATION,
    ),
    _Check(
        "labels",
        "gradients, of 62, that other labels change, under the same loss",
        truths.gradients_that_labels_change,
    ),
    _Check(
        "cross-entropy",
        "|sum of fc.bias.grad| under cross-entropy, by the sum of sizes",
        truths.cross_entropy_bias_sum,
        CANCELLATION,
    ),
    _Check("train-mode", "batch norms, of 20, whose statistics a pass does not move", truths.unmoved_in_train_mode),
    _Check("eval-mode", "batch norms, of 20, whose statistics a pass moves", truths.moved_in_eval_mode),
    _Check("frozen", "gradients beside those of fc, with all else frozen", truths.gradients_of_frozen),
    _Check("repeated", "gradients, of 62, that differ when the pass is repeated", equal_passes.changed_by_repetition),
    _Check(
        "accumulated",
        "|gradients accumulated over two half batches - full batch| / |full batch|, in eval mode",
        equal_passes.accumulated_difference,
        ROUNDING,
    ),
    _Check(
        "per-sample",
        "|sum of every image's own gradients - full batch| / |full batch|, in eval mode",
        equal_passes.per_sample_difference,
        ROUNDING,
    ),
    _Check(
        "kernels",
        "|fast kernels - exact| / |exact| of all gradients, in eval mode",
        equal_passes.kernel_difference,
        FAST_KERNELS,
    ),
    _Check("threads", "gradients, of 62, that differ between 1 and 2 threads", equal_passes.changed_by_threads),
)


def prepare_subject(
    weights: str, *, verify: bool = True, shape: Shape | None = None, seed: int = 0
) -> tuple[Subject, str]:
    """What the checks look at: weights, all trainable, with random images and labels; and the weights' name.

    UsageError for a shape of fewer than two images.
    """
    shape = checked_shape(shape or DEFAULT_SHAPE)
    if shape[0] < 2:
        raise UsageError(
            f"--shape {','.join(map(str, shape))}: a batch and its parts are compared; take 2 images or more"
        )
    loaded = load_model(weights, verify=verify)
    rules: list[FreezeRule] = [("unfreeze", "*")]
    apply_freeze_rules(loaded.model, rules)
    manual_seed(seed)
    classes = loaded.num_classes
    return Subject(
        model=loaded.model,
        data=Tensor(rand(shape).array),
        labels=Tensor(rand((shape[0], classes)).array),
        classes=randint(0, classes, (shape[0],)),
    ), loaded.weights


def run_checks(subject: Subject) -> Iterator[SelfCheck]:
    """The checks, each when it is done. The model is as before afterwards, without gradients."""
    for check in CHECKS:
        start = perf_counter()
        with subject.restored(), overflow_allowed():
            value = float(check.measure(subject))
        yield SelfCheck(
            name=check.name,
            what=check.what,
            value=value,
            bound=check.bound,
            ok=value <= check.bound,  # NaN keeps no bound
            seconds=perf_counter() - start,
        )


def require_all(checks: Sequence[SelfCheck]) -> None:
    """CheckError that names the checks that failed."""
    failed = [f"{check.name} ({check.value:.3g}, at most {check.bound:g})" for check in checks if not check.ok]
    if failed:
        raise CheckError(f"{len(failed)} of {len(checks)} checks failed: {', '.join(failed)}")
