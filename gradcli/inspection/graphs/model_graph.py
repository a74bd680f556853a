"""The graph of one pass of a batch through the network, from the input to the loss."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gradcli.autograd import Tensor, enable_grad
from gradcli.inspection.gradients.collection import INPUT_NAME
from gradcli.inspection.graphs.recorded import RecordedGraph, recorded_graph
from gradcli.inspection.module_calls import ModuleCalls, recorded_module_calls
from gradcli.kernels.policy import using_kernels
from gradcli.training.batch_norms import small_batches_explained
from gradcli.training.passes import Pass, overflow_allowed

TARGET_NAME, LOSS_NAME = "target", "loss"


@dataclass(frozen=True, kw_only=True)
class ModelGraph:
    """The graph of a pass, with its loss."""

    graph: RecordedGraph
    loss: float


def record_model_graph(run: Pass) -> ModelGraph:
    """Record the pass twice: with gradients for every parameter and the input, and as it is.

    The first graph has what backward will skip as well; the second says what that is, and what is kept. What the loss
    computes of the prediction appears as a module `loss`. No gradient is computed.
    """
    named = {INPUT_NAME: run.data, **dict(run.model.named_parameters())}
    with enable_grad(), overflow_allowed(), using_kernels(run.settings.kernels):
        with _all_requiring_gradients(named.values()), recorded_module_calls(run.model) as calls:
            traced = _record_loss(run, calls)
        # The traced loss stays until this one is recorded: a leaf then has the same node in both graphs.
        loss = _record_loss(run, ModuleCalls())
        named |= {LOSS_NAME: loss, **dict(run.model.named_buffers())}
        if run.target is not None:
            named[TARGET_NAME] = run.target
        return ModelGraph(graph=recorded_graph(loss, named, traced=traced, calls=calls), loss=loss.item())


def _record_loss(run: Pass, calls: ModuleCalls) -> Tensor:
    advice = "use larger images (above 32 pixels), more than one, or --mode eval"
    with small_batches_explained(run.data.shape, advice):
        prediction = run.forward()
    with calls.call(LOSS_NAME, run.settings.loss):
        return run.loss(prediction)


@contextlib.contextmanager
def _all_requiring_gradients(tensors: Iterable[Tensor]) -> Iterator[None]:
    """Every tensor requires a gradient inside; afterwards those that did before."""
    before = [(tensor, tensor.requires_grad) for tensor in tensors]
    try:
        for tensor, _ in before:
            tensor.requires_grad = True
        yield
    finally:
        for tensor, required in before:
            tensor.requires_grad = required
