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

With `@op(..., multiple=True)` the function returns a tuple of arrays, callers get a tuple of tensors, `out` is a tuple,
and so is the `grad` of its rules, with None for results that got no gradient. Integer results require none.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar, cast

import numpy as np

from gradcli.autograd.accumulate_grad import gradient_edge
from gradcli.autograd.anomaly import AnomalyMode, check_forward
from gradcli.autograd.argument_errors import refuse_what_is_no_tensor
from gradcli.autograd.dtypes import Array
from gradcli.autograd.grad_mode import InferenceMode, is_inference_mode_enabled, is_recording
from gradcli.autograd.graph import Edge
from gradcli.autograd.in_place import in_place as in_place_method
from gradcli.autograd.operation_node import OperationNode
from gradcli.autograd.rules import GradientRules, Rule, parameters_of
from gradcli.autograd.tensor import Tensor
from gradcli.autograd.views import make_view
from gradcli.deferred import DeferredArray, settled
from gradcli.numpy_settings import compute

F = TypeVar("F", bound=Callable[..., Any])

OPERATIONS: dict[str, Operation] = {}
"""Every declared operation by name. Docs and tests take the list from here."""


class OperationFunction(Protocol):
    """What `@op` makes of a function: the same function for tensors, and where its gradient rules are declared."""

    operation: Operation
    __name__: str

    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

    def gradient(self, **rules: Callable[..., Any]) -> None:
        """Declare one rule for each named input."""

    def gradients(self, *inputs: str, fresh: bool = False) -> Callable[[F], F]:
        """Decorate one rule that gives the gradients of several inputs as a tuple, None for those not needed.

        Where the inputs have rules of their own already, it serves when all of their gradients are needed. `fresh`
        promises arrays that nobody else holds or reads.
        """
        ...


class Operation:
    """A declared operation: its function on arrays, its rules, and the type of the nodes it records."""

    def __init__(
        self,
        forward: Callable[..., Any],
        node_name: str | None,
        extras: tuple[str, ...],
        *,
        view: bool,
        multiple: bool,
        differentiable: bool,
        deferred: bool,
    ) -> None:
        self.name = forward.__name__
        self.forward = forward
        self.extras = extras
        self.view = view
        self.multiple = multiple
        self.differentiable = differentiable
        self.deferred = deferred
        self.parameters = parameters_of(forward)
        self._position_of = {name: position for position, name in enumerate(self.parameters)}
        self._defaults = _defaults_of(forward, self.parameters)
        self.gradient_rules = GradientRules(self.name, self.parameters, extras)
        self._node_name = node_name or self.name

    @functools.cached_property
    def node_type(self) -> type[OperationNode]:
        """The type of the nodes that its calls record; made when first needed."""
        slots = ("output_count",) if self.multiple else ()
        return type(self._node_name, (OperationNode,), {"__slots__": slots, "operation": self})

    @property
    def rules(self) -> Mapping[str, Rule]:
        """The rule of each input that has a gradient, in the order that its nodes have them in."""
        return self.gradient_rules.by_input

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Compute on arrays; wrap and record where tensors were given."""
        given_tensor = False
        requiring_grad = 0  # how many of the arguments do
        deferred = self.deferred
        arrays = []
        for value in args:
            if isinstance(value, Tensor):
                given_tensor = True
                requiring_grad += value._requires_grad
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
                    requiring_grad += value._requires_grad
                    value = value._value
                options[name] = value if deferred else settled(value)
        try:
            result = compute(self.forward, arrays, options)
        except Exception:
            refuse_what_is_no_tensor(self.forward, self.parameters, arrays, options)
            raise
        if self.multiple:
            return self._several(result, args, kwargs, arrays, options, given_tensor, requiring_grad)
        out, extras = (result[0], result[1:]) if self.extras else (result, ())
        if type(out) is not np.ndarray and not isinstance(out, DeferredArray):
            out = np.asarray(out)  # NumPy turns 0-d results into scalars
        if not given_tensor:
            return out
        node = None
        if requiring_grad and self.differentiable and is_recording() and out.dtype.kind == "f":
            arguments, values = self._bound(args, kwargs), self._bound(arrays, options)
            node = self._record(arguments, requiring_grad, values, out, extras)
        tensor = Tensor.from_operation(out, node)
        if AnomalyMode.enabled:
            check_forward(self.name, (settled(out),), self._bound(args, kwargs), node)
        if InferenceMode.was_used and node is None and is_inference_mode_enabled():
            tensor._is_inference = True
        if self.view:
            self._note_view(tensor, args, kwargs)
        return tensor

    def _several(
        self,
        results: Sequence[Array],
        args: Sequence[Any],
        kwargs: dict[str, Any],
        arrays: Sequence[Any],
        options: dict[str, Any],
        given_tensor: bool,
        requiring_grad: int,
    ) -> tuple[Any, ...]:
        """As `call`, for several results: they have one node."""
        results = tuple(np.asarray(result) for result in results)
        if not given_tensor:
            return results
        node = None
        if requiring_grad and self.differentiable and is_recording():
            arguments, values = self._bound(args, kwargs), self._bound(arrays, options)
            node = self._record(arguments, requiring_grad, values, results, ())
            node.output_count = len(results)  # type: ignore[misc]  # nodes of several results have a slot for it
        if AnomalyMode.enabled:
            check_forward(self.name, results, self._bound(args, kwargs), node)
        tensors = []
        for output_nr, result in enumerate(results):
            tensor = Tensor.from_operation(result, node if result.dtype.kind == "f" else None)
            if tensor._grad_fn is not None:
                tensor._output_nr = output_nr
            if InferenceMode.was_used and node is None and is_inference_mode_enabled():
                tensor._is_inference = True
            if self.view:
                self._note_view(tensor, args, kwargs, output_nr)
            tensors.append(tensor)
        return tuple(tensors)

    def _note_view(
        self, tensor: Tensor, args: Sequence[Any], kwargs: dict[str, Any], output_nr: int | None = None
    ) -> None:
        """Tell the result that it is a view of the first argument, if it is one."""
        source = args[0] if args else kwargs[self.parameters[0]]
        if tensor.array.size > 0 and not np.may_share_memory(tensor.array, source.array):
            return
        rest = args[1:]
        options = kwargs if args else {name: value for name, value in kwargs.items() if name != self.parameters[0]}

        def step(base: Any) -> Any:
            replayed = self.call(base, *rest, **options)
            return replayed if output_nr is None else replayed[output_nr]

        make_view(tensor, source, step, None if output_nr is None else "several")

    def _bound(self, args: Sequence[Any], kwargs: dict[str, Any]) -> Sequence[Any]:
        """The arguments of a call in the order of the parameters."""
        if len(args) == len(self.parameters):
            return args
        bound = [*args, *self._defaults[len(args) :]]
        for name, value in kwargs.items():
            bound[self._position_of[name]] = value
        return bound

    def _record(
        self,
        arguments: Sequence[Any],
        requiring_grad: int,
        values: Sequence[Any],
        out: Array | DeferredArray | tuple[Array, ...],
        extras: Sequence[Any],
    ) -> OperationNode:
        """The node of a call with `arguments`, of which some require gradients; `values` are what it computed on.

        RuntimeError where one without a rule requires gradients.
        """
        inputs: list[Edge | None] = []
        needs = []
        for position in self.gradient_rules.positions:
            value = arguments[position]
            edge = gradient_edge(value) if isinstance(value, Tensor) and value._requires_grad else None
            inputs.append(edge)
            needed = edge is not None
            needs.append(needed)
            requiring_grad -= needed
        if requiring_grad:
            for name, value in zip(self.parameters, arguments, strict=True):
                if name not in self.rules and isinstance(value, Tensor) and value._requires_grad:
                    raise RuntimeError(f"{self.name} is not differentiable with respect to argument {name!r}")
        plan = self.gradient_rules.plan(tuple(needs))
        saved = {key: values[position] for key, position in plan.arguments}
        for key, position in plan.shapes:
            saved[key] = getattr(values[position], "shape", ())
        if plan.saves_out:
            saved["out"] = out
        for key, position in plan.extras:
            saved[key] = extras[position]
        if InferenceMode.was_used:
            for _, position in plan.arguments:
                _refuse_inference(arguments[position])
        return self.node_type(plan, tuple(inputs), saved)


def _defaults_of(function: Any, parameters: tuple[str, ...]) -> tuple[Any, ...]:
    """The default of each parameter, None for one that has none."""
    keywords = function.__kwdefaults__ or {}
    given = function.__defaults__ or ()
    positional = parameters[: function.__code__.co_argcount]
    by_position = dict(zip(positional[len(positional) - len(given) :], given, strict=True))
    return tuple(keywords.get(name, by_position.get(name)) for name in parameters)


def _refuse_inference(saved: Any) -> None:
    """RuntimeError for a tensor that was made in `inference_mode`."""
    if isinstance(saved, Tensor) and saved.is_inference():
        raise RuntimeError(
            "Inference tensors cannot be saved for backward. Please do not use Tensors created in inference mode in "
            "computation tracked by autograd. To work around this, you can make a clone to get a normal tensor and use "
            "it in autograd, or use `torch.no_grad()` instead of `torch.inference_mode()`."
        )


def op(
    node_name: str | None = None,
    *,
    method: bool = False,
    operators: tuple[str, ...] = (),
    in_place: bool = False,
    view: bool = False,
    multiple: bool = False,
    extras: tuple[str, ...] = (),
    differentiable: bool = True,
    deferred: bool = False,
) -> Callable[[Callable[..., Any]], OperationFunction]:
    """Declare an operation: `node_name` as PyTorch names its node.

    `method` also attaches it to Tensor under its own name, `in_place` under that name with `_` behind it, and
    `operators` under the special names given. `view` declares that its result may share memory with its first input,
    `multiple` that it has several results, `differentiable=False` that these never require gradients (comparisons).
    """

    def declare(forward: Callable[..., Any]) -> OperationFunction:
        operation = Operation(
            forward,
            node_name,
            extras,
            view=view,
            multiple=multiple,
            differentiable=differentiable,
            deferred=deferred,
        )
        if operation.name in OPERATIONS:
            raise TypeError(f"there is an operation {operation.name} already")
        OPERATIONS[operation.name] = operation

        @functools.wraps(forward)
        def function(*args: Any, **kwargs: Any) -> Any:
            return operation.call(*args, **kwargs)

        def gradient(**rules: Callable[..., Any]) -> None:
            for name, rule in rules.items():
                operation.gradient_rules.add((name,), rule, joint=False)

        def gradients(*inputs: str, fresh: bool = False) -> Callable[[F], F]:
            def declare_rule(rule: F) -> F:
                operation.gradient_rules.add(inputs, rule, joint=True, fresh=fresh)
                return rule

            return declare_rule

        function.operation = operation  # type: ignore[attr-defined]
        function.gradient = gradient  # type: ignore[attr-defined]
        function.gradients = gradients  # type: ignore[attr-defined]
        _attach(function, (*operators, *((operation.name,) if method else ())))
        if in_place:
            attach_in_place(function, operation.name, operators)
        return cast("OperationFunction", function)

    return declare


def tensor_method(*names: str, in_place: bool = False) -> Callable[[F], F]:
    """Attach a function that is composed of operations to Tensor, under its own name or those given.

    `in_place` also attaches what does the same in place, under the first name with `_` behind it.
    """

    def attach(function: F) -> F:
        chosen = names or (function.__name__,)
        _attach(function, chosen)
        if in_place:
            attach_in_place(function, chosen[0], chosen[1:])
        return function

    return attach


def attach_in_place(function: Callable[..., Any], name: str, operators: Sequence[str] = ()) -> None:
    """Attach to Tensor what does in place what `function` does: as `name_`, and for `__add__`, say, as `__iadd__`."""
    method = in_place_method(function, f"{name}_")
    augmented = [f"__i{operator[2:]}" for operator in operators if operator in _AUGMENTED]
    _attach(method, (f"{name}_", *augmented))


_AUGMENTED = frozenset(
    f"__{name}__" for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor")
)


def _attach(function: Callable[..., Any], names: Sequence[str]) -> None:
    for name in names:
        if name in Tensor.__dict__ and not name.startswith("__"):
            raise TypeError(f"Tensor has {name!r} already")
        setattr(Tensor, name, function)
