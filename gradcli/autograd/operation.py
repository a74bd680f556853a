"""Declaring a differentiable operation: a function on arrays, and beside it the rules for its gradients.

    @op("MulBackward0", operators=("__mul__", "__rmul__"))
    def mul(input, other):
        return np.multiply(*promote(input, other))

    mul.gradient(
        input=lambda grad, other: grad * other,
        other=lambda grad, input: grad * input,
    )

Called with tensors, `mul` computes, wraps the result and records a node. Called with arrays only, it just computes.
A rule is written once, with operators and operations that take either: backward hands it arrays, or tensors where
the gradients are to be differentiated again (`create_graph=True`).

A rule's parameters say what must be kept for it, and nothing else is. After `grad`, the gradient of the output, each
is one of:

- a parameter of the operation (tensor or option): its value;
- that name with `_shape` behind it: only the shape of that tensor;
- `out`: the result;
- the name of an extra result (`@op(..., extras=("indices",))`): the function then returns `(out, indices)`, and
  callers get `out` alone;
- `needs`, in a rule for several inputs: which of their gradients are wanted, as a tuple of booleans.

A rule may return a gradient of the broadcast shape: the engine sums it back to the input's own.

With `@op(..., deferred=True)` the function and its rules take a `DeferredArray` wherever they take an array, and may
return one: work that is put off until somebody looks at the result. All others are handed plain arrays.
"""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar, cast

import numpy as np

from gradcli.autograd.accumulate_grad import AccumulateGrad, gradient_edge
from gradcli.autograd.dtypes import Array
from gradcli.autograd.grad_mode import is_grad_enabled
from gradcli.autograd.graph import Gradient, Node, sum_to_shape
from gradcli.autograd.tensor import Tensor
from gradcli.deferred import DeferredArray, computed, settled

F = TypeVar("F", bound=Callable[..., Any])

OPERATIONS: dict[str, Operation] = {}
"""Every declared operation by name. Docs and tests take the list from here."""


@dataclass(frozen=True)
class Rule:
    """How to get the gradients of `inputs`; `parameters` are the names of what it takes after `grad`."""

    inputs: tuple[str, ...]
    parameters: tuple[str, ...]
    function: Callable[..., Any]
    joint: bool


class Saved(NamedTuple):
    """One thing to keep for the rules: where it comes from (`argument`, `shape`, `out` or `extra`) and its name."""

    key: str
    kind: str
    source: str


class Plan(NamedTuple):
    """What to keep and run, for one combination of inputs that require gradients."""

    rules: tuple[Rule, ...]
    saved: tuple[Saved, ...]
    holds_tensors: bool


class OperationFunction(Protocol):
    """What `@op` makes of a function: the same function for tensors, and where its gradient rules are declared."""

    operation: Operation
    __name__: str

    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

    def gradient(self, **rules: Callable[..., Any]) -> None:
        """Declare one rule for each named input."""

    def gradients(self, *inputs: str) -> Callable[[F], F]:
        """Decorate one rule that gives the gradients of several inputs as a tuple, None for those not needed.

        Where the inputs have rules of their own already, it serves when all of their gradients are needed.
        """
        ...


class Operation:
    """A declared operation: its function on arrays, its rules, and the type of the nodes it records."""

    def __init__(
        self,
        forward: Callable[..., Any],
        node_name: str | None,
        extras: tuple[str, ...],
        differentiable: bool,
        deferred: bool,
    ) -> None:
        self.name = forward.__name__
        self.forward = forward
        self.extras = extras
        self.differentiable = differentiable
        self.deferred = deferred
        self.rules: dict[str, Rule] = {}
        self.shared_rules: list[Rule] = []
        parameters = inspect.signature(forward).parameters.values()
        self.parameters = tuple(p.name for p in parameters)
        self.defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
        self.node_type = type(node_name or self.name, (OperationNode,), {"__slots__": (), "operation": self})
        self._plans: dict[tuple[bool, ...], Plan] = {}

    def add_rule(self, inputs: tuple[str, ...], function: Callable[..., Any], *, joint: bool) -> None:
        """Declare how the gradients of `inputs` are computed; TypeError for a name that means nothing here.

        A joint rule for inputs that have rules already is taken where the gradients of all of them are needed.
        """
        parameters = tuple(inspect.signature(function).parameters)[1:]
        rule = Rule(inputs, parameters, function, joint)
        if joint and all(name in self.rules for name in inputs):
            self.shared_rules.append(rule)
        for name in inputs:
            if name not in self.parameters:
                raise TypeError(f"{self.name} has no input {name!r} to declare a gradient for")
            self.rules.setdefault(name, rule)
        for name in parameters:
            if name != "needs":
                self._source(name)

    def _source(self, name: str) -> Saved:
        if name in self.parameters:
            return Saved(name, "argument", name)
        if name == "out":
            return Saved(name, "out", name)
        if name in self.extras:
            return Saved(name, "extra", name)
        if name.endswith("_shape") and name.removesuffix("_shape") in self.parameters:
            return Saved(name, "shape", name.removesuffix("_shape"))
        raise TypeError(f"a gradient rule of {self.name} asks for {name!r}, which is nothing it could be given")

    def plan(self, needs: tuple[bool, ...]) -> Plan:
        """What to keep and run where `needs` tells, in the order of `rules`, which inputs require gradients."""
        plan = self._plans.get(needs)
        if plan is None:
            wanted = {name: rule for (name, rule), needed in zip(self.rules.items(), needs, strict=True) if needed}
            for shared in self.shared_rules:
                if all(name in wanted for name in shared.inputs):
                    wanted.update(dict.fromkeys(shared.inputs, shared))
            rules = tuple(dict.fromkeys(wanted.values()))
            names = dict.fromkeys(name for rule in rules for name in rule.parameters if name != "needs")
            saved = tuple(self._source(name) for name in names)
            holds_tensors = any(
                s.kind in ("out", "extra") or s.source in self.rules for s in saved if s.kind != "shape"
            )
            plan = self._plans[needs] = Plan(rules, saved, holds_tensors)
        return plan

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Compute on arrays; wrap and record where tensors were given."""
        given_tensor = requires_grad = False
        deferred = self.deferred
        arrays = []
        for value in args:
            if isinstance(value, Tensor):
                given_tensor = True
                requires_grad = requires_grad or value._requires_grad
                value = value._value
            if not deferred and isinstance(value, DeferredArray):
                value = value.array()
            arrays.append(value)
        options = kwargs
        if kwargs:
            options = {}
            for name, value in kwargs.items():
                if isinstance(value, Tensor):
                    given_tensor = True
                    requires_grad = requires_grad or value._requires_grad
                    value = value._value
                options[name] = value if deferred else settled(value)
        with np.errstate(all="ignore"):  # overflow and the like give inf and nan without a word, as in PyTorch
            result = self.forward(*arrays, **options)
        out, extras = (result[0], result[1:]) if self.extras else (result, ())
        if type(out) is not np.ndarray and not isinstance(out, DeferredArray):
            out = np.asarray(out)  # NumPy turns 0-d results into scalars
        if not given_tensor:
            return out
        if not (requires_grad and self.differentiable and out.dtype.kind == "f" and is_grad_enabled()):
            return Tensor.from_operation(out, None)
        arguments = {**self.defaults, **dict(zip(self.parameters, args, strict=False)), **kwargs}
        return Tensor.from_operation(out, self.record(arguments, out, extras))

    def record(self, arguments: dict[str, Any], out: Array | DeferredArray, extras: Sequence[Array]) -> Node:
        """The node of a call with `arguments`; RuntimeError where one without a rule requires gradients."""
        for name, value in arguments.items():
            if isinstance(value, Tensor) and value._requires_grad and name not in self.rules:
                raise RuntimeError(f"{self.name} is not differentiable with respect to argument {name!r}")
        edges: list[Node | None] = []
        for name in self.rules:
            value = arguments[name]
            edges.append(gradient_edge(value) if isinstance(value, Tensor) else None)
        needs = tuple(edge is not None for edge in edges)
        plan = self.plan(needs)
        saved: dict[str, Any] = {}
        for key, kind, source in plan.saved:
            if kind == "out":
                saved[key] = out
            elif kind == "extra":
                saved[key] = extras[self.extras.index(source)]
            else:
                value = arguments[source]
                if isinstance(value, Tensor):
                    value = value._value
                saved[key] = getattr(value, "shape", ()) if kind == "shape" else value
        inputs = tuple(
            InputSlot(edge, value._value.shape, value._value.dtype) if edge is not None else None
            for edge, value in zip(edges, (arguments[name] for name in self.rules), strict=True)
        )
        node: OperationNode = self.node_type(plan, inputs, saved)
        return node


class InputSlot(NamedTuple):
    """An input that requires gradients: where they go, and the shape and dtype they must have."""

    node: Node
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


class OperationNode(Node):
    """A recorded call of an operation. Each operation has its own subclass, named as PyTorch names the node."""

    __slots__ = ("inputs", "plan", "saved")

    operation: Operation

    def __init__(
        self,
        plan: Plan,
        inputs: tuple[InputSlot | None, ...],
        saved: dict[str, Any],
    ) -> None:
        super().__init__()
        self.plan = plan
        self.inputs = inputs
        self.saved: dict[str, Any] | None = saved

    @property
    def next_functions(self) -> tuple[tuple[Node | None, int], ...]:
        return tuple((slot.node if slot is not None else None, 0) for slot in self.inputs)

    def apply(self, grad: Gradient, *, create_graph: bool, keep_saved: bool) -> Sequence[tuple[Node, Gradient]]:
        values = self.saved
        if values is None:
            raise RuntimeError(
                "Trying to backward through the graph a second time (or directly access saved tensors after they have "
                "already been freed). Saved intermediate values of the graph are freed when you call .backward() or "
                "autograd.grad(). Specify retain_graph=True if you need to backward through the graph a second time "
                "or if you need to access saved tensors after calling backward."
            )
        if create_graph or not self.operation.deferred:
            grad = settled(grad)
            values = {key: settled(value) for key, value in values.items()}
        if create_graph:
            values = self._saved_as_tensors(values)
        slots = dict(zip(self.operation.rules, self.inputs, strict=True))
        shares: list[tuple[Node, Gradient]] = []
        for rule in self.plan.rules:
            arguments = [
                tuple(slots[name] is not None for name in rule.inputs) if parameter == "needs" else values[parameter]
                for parameter in rule.parameters
            ]
            result = rule.function(grad, *arguments)
            for name, share in zip(rule.inputs, result if rule.joint else (result,), strict=True):
                slot = slots[name]
                if slot is not None and share is not None:
                    shares.append((slot.node, self._fit(share, slot, grad, values)))
        if not keep_saved and (self.plan.holds_tensors or any(map(_holds_array, (self.saved or {}).values()))):
            self.saved = None
        return shares

    def _fit(self, share: Gradient, slot: InputSlot, grad: Gradient, values: dict[str, Any]) -> Gradient:
        """A rule's result with the input's own shape and dtype, in memory that the receiver may keep."""
        if isinstance(share, DeferredArray):
            fits = share.shape == slot.shape and share.dtype == slot.dtype
            if fits and (share.exclusive or not isinstance(slot.node, AccumulateGrad)):
                return share
            share = share.array()
        if isinstance(share, Tensor):
            if share.array.shape != slot.shape:
                share = share.sum_to_size(slot.shape)
            return share if share.array.dtype == slot.dtype else share.to(slot.dtype)
        if type(share) is not np.ndarray:
            share = np.asarray(share)  # NumPy turns 0-d results into scalars
        if share.shape != slot.shape:
            try:
                share = sum_to_shape(share, slot.shape)
            except ValueError as error:
                raise RuntimeError(f"{self.name()} returned an invalid gradient: {error}") from None
        if share.dtype != slot.dtype:
            share = share.astype(slot.dtype)
        if isinstance(slot.node, AccumulateGrad) and (not share.flags.writeable or _may_be_shared(share, grad, values)):
            # A leaf keeps the array as its `grad`, so it can't be one that somebody else reads or writes, nor one
            # that was only broadcast.
            share = np.array(share, order="K")
        return share

    def _saved_as_tensors(self, values: dict[str, Any]) -> dict[str, Any]:
        """The saved values, tensors again: joined to this graph, so that operations on them are recorded through."""
        slots = dict(zip(self.operation.rules, self.inputs, strict=True))
        joined = dict(values)
        for key, kind, source in self.plan.saved:
            value = values[key]
            if not isinstance(value, np.ndarray):
                continue
            if kind == "out":
                joined[key] = Tensor.from_operation(value, self)
            elif kind == "argument":
                slot = slots.get(source)
                joined[key] = Tensor(value) if slot is None else _joined_tensor(value, slot.node)
        return joined


def _holds_array(value: Any) -> bool:
    return isinstance(value, np.ndarray | DeferredArray) or (isinstance(value, tuple) and any(map(_holds_array, value)))


def _joined_tensor(array: Array, node: Node) -> Tensor:
    """A tensor whose gradient goes to `node`."""
    if isinstance(node, AccumulateGrad):
        leaf = Tensor(array, requires_grad=True)
        leaf._accumulator = weakref.ref(node)
        return leaf
    return Tensor.from_operation(array, node)


def _may_be_shared(share: Array, grad: Array | DeferredArray, values: dict[str, Any]) -> bool:
    return any(
        isinstance(array, np.ndarray) and np.may_share_memory(share, array)
        for array in map(computed, (grad, *values.values()))
    )


def op(
    node_name: str | None = None,
    *,
    method: bool = False,
    operators: tuple[str, ...] = (),
    extras: tuple[str, ...] = (),
    differentiable: bool = True,
    deferred: bool = False,
) -> Callable[[Callable[..., Any]], OperationFunction]:
    """Declare an operation: `node_name` as PyTorch names its node.

    `method` also attaches it to Tensor under its own name, `operators` under the special names given.
    `differentiable=False` declares that its result never requires gradients (comparisons).
    """

    def declare(forward: Callable[..., Any]) -> OperationFunction:
        operation = Operation(forward, node_name, extras, differentiable, deferred)
        if operation.name in OPERATIONS:
            raise TypeError(f"there is an operation {operation.name} already")
        OPERATIONS[operation.name] = operation

        @functools.wraps(forward)
        def function(*args: Any, **kwargs: Any) -> Any:
            return operation.call(*args, **kwargs)

        def gradient(**rules: Callable[..., Any]) -> None:
            for name, rule in rules.items():
                operation.add_rule((name,), rule, joint=False)

        def gradients(*inputs: str) -> Callable[[F], F]:
            def declare_rule(rule: F) -> F:
                operation.add_rule(inputs, rule, joint=True)
                return rule

            return declare_rule

        function.operation = operation  # type: ignore[attr-defined]
        function.gradient = gradient  # type: ignore[attr-defined]
        function.gradients = gradients  # type: ignore[attr-defined]
        _attach(function, (*operators, *((operation.name,) if method else ())))
        return cast("OperationFunction", function)

    return declare


def tensor_method(*names: str) -> Callable[[F], F]:
    """Attach a function that is composed of operations to Tensor, under its own name or those given."""

    def attach(function: F) -> F:
        _attach(function, names or (function.__name__,))
        return function

    return attach


def _attach(function: Callable[..., Any], names: Sequence[str]) -> None:
    for name in names:
        if name in Tensor.__dict__ and not name.startswith("__"):
            raise TypeError(f"Tensor has {name!r} already")
        setattr(Tensor, name, function)
