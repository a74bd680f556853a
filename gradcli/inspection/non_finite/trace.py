"""A pass in which every value is looked at: where the first NaN or infinity comes from, and what it reaches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gradcli.autograd.anomaly import watched_operations
from gradcli.checkpoints.quoting import some_names
from gradcli.errors import DivergedError
from gradcli.inspection.non_finite.injection import Injection, injected
from gradcli.inspection.non_finite.observer import NonFiniteObserver
from gradcli.inspection.non_finite.records import Phase, TensorRecord
from gradcli.kernels.policy import using_kernels
from gradcli.training.passes import Pass, overflow_allowed, record_loss


@dataclass(frozen=True, kw_only=True)
class Trace:
    """What came of a traced pass.

    `begins` is the phase that the first NaN or infinity came in: `given` with the weights, the input or the target,
    `forward` or `backward` by an operation whose inputs were finite; None where all is finite. `module` and `operation`
    are the first to give one. `operations` and `nodes` count the forward and backward operations that were looked at,
    `gradients` names the parameters whose gradients are not finite, in backward order.
    """

    begins: Phase | None
    module: str | None
    operation: str | None
    loss: float
    operations: int
    nodes: int
    gradients: list[str]
    records: list[TensorRecord]

    @property
    def finite(self) -> bool:
        """Whether every value was finite."""
        return self.begins is None

    def describe(self) -> str:
        """Where it begins and what it reaches, in one line."""
        if self.begins is None:
            return f"every value of {self.operations} forward and {self.nodes} backward operations is finite"
        sources = [record for record in self.records if record.role == "source"]
        given = "; ".join(f"{record.tensor} has {record.describe()}" for record in sources)
        first = next((record for record in self.records if record.role == "first"), None)
        if first is None:
            return f"{given}; no operation was reached"
        inputs = [each for each in self.records if (each.role, each.phase) == ("input", first.phase)]
        already = [each.tensor for each in inputs if not each.is_finite]
        where = f"{first.operation} in {first.module}, operation {first.order} of the {first.phase} pass"
        told = f"{first.tensor}: {first.counts()} values"
        why = f"given by {some_names(already)}" if already else "from finite inputs"
        reached = f"; gradients that are not finite: {len(self.gradients)}" if self.gradients else ""
        return f"{given + '; ' if given else ''}begins at {where} ({told}, {why}){reached}; the loss is {self.loss:g}"

    def check(self) -> None:
        """DivergedError that says where NaN or infinity begin, if there are any."""
        if not self.finite:
            raise DivergedError(self.describe())


def trace_pass(run: Pass, injections: Sequence[Injection] = ()) -> Trace:
    """Run forward, loss and backward, look at every value, and don't stop at the first that is not finite.

    Backward is left out where nothing trains. Nothing is put off or computed in one go with its neighbours meanwhile,
    so it is slower, and the last bits of values may be others. UsageError for an injection that can't be made.
    """
    with overflow_allowed(), using_kernels(run.settings.kernels), injected(run, injections):
        observer = NonFiniteObserver(run)
        with watched_operations(observer):
            _, loss = record_loss(run)
            if loss.requires_grad:
                loss.backward(retain_graph=True)  # what nodes have saved is still to be looked at
    first = observer.first("forward") or observer.first("backward")
    parameters = [name for name, _ in run.model.named_parameters()]
    brought = {
        record.tensor.removeprefix("gradient of ")
        for record in observer.records
        if record.phase == "backward" and record.role != "input"
    }
    return Trace(
        begins=_begins(observer.records, first),
        module=None if first is None else first.module,
        operation=None if first is None else first.operation,
        loss=loss.item(),
        operations=observer.counts["forward"],
        nodes=observer.counts["backward"],
        gradients=[name for name in reversed(parameters) if name in brought],
        records=observer.records,
    )


def _begins(records: Sequence[TensorRecord], first: TensorRecord | None) -> Phase | None:
    if first is None:
        return "given" if records else None
    inputs = [each for each in records if (each.role, each.phase) == ("input", first.phase)]
    return first.phase if all(each.is_finite for each in inputs) else "given"
