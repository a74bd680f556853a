"""Looks at the results of every operation of a pass, forward and backward, and notes those that are not finite."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from gradcli.autograd import Tensor
from gradcli.autograd.accumulate_grad import AccumulateGrad
from gradcli.autograd.anomaly import Origin, Watcher
from gradcli.autograd.graph import Edge, Node
from gradcli.autograd.operation import OPERATIONS
from gradcli.autograd.operation_node import OperationNode
from gradcli.inspection.gradients.collection import INPUT_NAME
from gradcli.inspection.non_finite.records import Phase, Role, TensorRecord, tensor_record
from gradcli.kernels.statistics import Array
from gradcli.training.passes import Pass

LOSS = "loss"
"""In place of a module, for what belongs to none."""


class NonFiniteObserver(Watcher):
    """The records of a pass in the order in which things happened; with backward's if what nodes saved is kept."""

    def __init__(self, run: Pass) -> None:
        self.run = run
        self.records: list[TensorRecord] = []
        self.counts: dict[Phase, int] = {"given": 0, "forward": 0, "backward": 0}
        self._modules = {module: name for name, module in run.model.named_modules()}
        self._buffers: dict[Tensor, str] = {buffer: name for name, buffer in run.model.named_buffers()}
        self._names = self._buffers | {parameter: name for name, parameter in run.model.named_parameters()}
        for name, tensor in {**run.model.state_dict(), INPUT_NAME: run.data, "target": run.target}.items():
            if tensor is not None and not _is_finite(tensor.array):
                self.records.append(tensor_record(tensor.array, tensor=name, phase="given", role="source"))

    def first(self, phase: Phase) -> TensorRecord | None:
        """The first result of this phase that is not finite."""
        return next((record for record in self.records if record.phase == phase and record.role == "first"), None)

    def forward(self, name: str, arguments: Sequence[Any], results: Sequence[Array], origin: Origin) -> None:
        declared = OPERATIONS.get(name)
        made = {"result" if len(results) == 1 else f"result {i}": array for i, array in enumerate(results)}
        if declared is not None and declared.view:
            made = {}  # nothing but its argument seen in another way
        self._note("forward", self._module(origin), name, made, lambda: self._arguments(name, arguments, origin))

    def backward(self, node: Node, gradients: Sequence[Array], shares: Sequence[tuple[Edge, Array]]) -> None:
        def given() -> Iterator[tuple[str, Array]]:
            yield from (("gradient of the result", gradient) for gradient in gradients)
            if isinstance(node, OperationNode):
                yield from _floats((node.saved or {}).items())

        is_view = isinstance(node, OperationNode) and node.operation.view
        handed_on = {
            self._share_name(node, edge): share
            for edge, share in shares
            if not is_view or isinstance(edge.node, AccumulateGrad)
        }
        self._note("backward", self._module(getattr(node, "origin", None)), node.name(), handed_on, given)

    def _note(self, phase: Phase, module: str, operation: str, results: dict[str, Array], given: Any) -> None:
        self.counts[phase] += 1
        place: dict[str, Any] = {
            "phase": phase,
            "order": self.counts[phase],
            "module": module,
            "operation": operation,
        }
        wrong = {name: array for name, array in results.items() if not _is_finite(array)}
        role: Role = "reached" if self.first(phase) else "first"
        if wrong and role == "first":
            self.records += [tensor_record(array, tensor=name, role="input", **place) for name, array in given()]
        self.records += [tensor_record(array, tensor=name, role=role, **place) for name, array in wrong.items()]

    def _arguments(self, operation: str, arguments: Sequence[Any], origin: Origin) -> Iterator[tuple[str, Array]]:
        declared = OPERATIONS.get(operation)
        names = declared.parameters if declared else [f"argument {i}" for i in range(len(arguments))]
        in_training = bool(origin.modules) and origin.modules[-1].training
        for name, value in _floats(zip(names, arguments, strict=True), keep_tensors=True):
            if value in self._buffers and in_training:
                continue  # a batch norm in training does not read them, and has changed them by now
            yield self._own_name(value) or name, value.array

    def _own_name(self, tensor: Tensor) -> str | None:
        """The name of what a tensor is, or is a view of: a parameter or buffer, the input or the target."""
        tensor = tensor if tensor._base is None else tensor._base
        if tensor is self.run.data:
            return INPUT_NAME
        if tensor is self.run.target:
            return "target"
        return self._names.get(tensor)

    def _module(self, origin: Origin | None) -> str:
        if origin is None or not origin.modules:
            return LOSS
        return self._modules.get(origin.modules[-1]) or "model"

    def _share_name(self, node: Node, edge: Edge) -> str:
        if isinstance(edge.node, AccumulateGrad):
            return f"gradient of {self._own_name(edge.node.variable) or 'a leaf'}"
        position = next(i for i, own in enumerate(node.edges) if own is edge)
        names = list(node.operation.rules) if isinstance(node, OperationNode) else []
        return f"gradient of {names[position] if position < len(names) else f'argument {position}'}"


def _floats(pairs: Any, *, keep_tensors: bool = False) -> Iterator[tuple[str, Any]]:
    """Those of the named values that are arrays or tensors of floats, as arrays unless `keep_tensors`."""
    for name, value in pairs:
        if hasattr(value, "shape") and getattr(value.dtype, "kind", "f") == "f":
            tensor = value if isinstance(value, Tensor) else Tensor(value)
            if tensor.is_floating_point():
                yield name, tensor if keep_tensors else tensor.array


def _is_finite(array: Array) -> bool:
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())
