"""Finding where NaN and infinity come from: the first operation that gives one, forward or backward, is named.

With its module and parameter, and the line of the user's code that called it. PyTorch's `detect_anomaly` looks at
gradients only, and for NaN.
"""

from __future__ import annotations

import functools
import linecache
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, NamedTuple, Self

import numpy as np

from gradcli.autograd.accumulate_grad import AccumulateGrad
from gradcli.autograd.dtypes import Array
from gradcli.autograd.graph import Edge, Gradient, Node
from gradcli.autograd.tensor import Tensor
from gradcli.deferred import settled

_PACKAGE = __name__.partition(".")[0]


class AnomalyMode:
    """Whether anomalies are looked for, in all threads as in PyTorch, and which.

    With a `watcher`, that is told what every operation gives, and decides by itself.
    """

    enabled = False
    check_nan = True
    check_inf = True
    watcher: Watcher | None = None


class _Modules(threading.local):
    """The modules that this thread's forward pass is in, from the outermost to the innermost."""

    def __init__(self) -> None:
        self.stack: list[Any] = []


_modules = _Modules()


class Origin(NamedTuple):
    """Where an operation was called: the line of the user's code, and the modules that it was called in."""

    line: str | None
    modules: tuple[Any, ...]

    def module_path(self) -> str | None:
        """The innermost module's name in the outermost, or its class where it has none."""
        if not self.modules:
            return None
        root, innermost = self.modules[0], self.modules[-1]
        name = next((name for name, module in root.named_modules() if module is innermost), None)
        kind = type(innermost).__name__
        return f"{name} ({kind})" if name else kind

    def parameter_name(self, tensor: Any) -> str | None:
        """The name that a parameter has in the outermost module; None if it is none of its parameters."""
        if not self.modules:
            return None
        return next((name for name, parameter in self.modules[0].named_parameters() if parameter is tensor), None)

    def __str__(self) -> str:
        path = self.module_path()
        places = ([] if path is None else [f"in module {path}"]) + ([] if self.line is None else [f"at {self.line}"])
        return ", ".join(places) or "at an unknown place"


class Watcher:
    """Is told of every operation inside `watched_operations`, with computed values; a subclass does what it likes."""

    def forward(self, name: str, arguments: Sequence[Any], results: Sequence[Array], origin: Origin) -> None:
        """The operation of that name was called with `arguments` (tensors, arrays, options) and gave `results`."""

    def backward(self, node: Node, gradients: Sequence[Array], shares: Sequence[tuple[Edge, Array]]) -> None:
        """Backward came to `node` with the `gradients` of its results, and handed its `shares` on."""


@contextmanager
def watched_operations(watcher: Watcher) -> Iterator[None]:
    """Tell `watcher` of every operation, forward and backward, instead of raising errors for anomalies."""
    before = AnomalyMode.enabled, AnomalyMode.watcher
    AnomalyMode.enabled, AnomalyMode.watcher = True, watcher
    try:
        yield
    finally:
        AnomalyMode.enabled, AnomalyMode.watcher = before


class detect_anomaly:  # noqa: N801 - PyTorch's name
    """RuntimeError for the first operation that gives NaN or infinity, forward or backward, inside a `with` block.

    It names the operation, its module, parameter, and the line that called it. Infinity counts where no input had it
    already; `check_inf=False` allows it. Also a decorator. Slow: every value is looked at, and none is put off.
    """

    def __init__(self, check_nan: bool = True, check_inf: bool = True) -> None:
        self._settings = (True, check_nan, check_inf)

    def __enter__(self) -> Self:
        self._before = (AnomalyMode.enabled, AnomalyMode.check_nan, AnomalyMode.check_inf)
        _set(*self._settings)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _set(*self._before)

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def detecting(*args: Any, **kwargs: Any) -> Any:
            with detect_anomaly(*self._settings[1:]):
                return function(*args, **kwargs)

        return detecting


class set_detect_anomaly(detect_anomaly):  # noqa: N801 - PyTorch's name
    """Switch `detect_anomaly` on or off at once; as a context manager, the former state comes back at the end."""

    def __init__(self, mode: bool, check_nan: bool = True, check_inf: bool = True) -> None:
        self._settings = (mode, check_nan, check_inf)
        self._before = (AnomalyMode.enabled, AnomalyMode.check_nan, AnomalyMode.check_inf)
        _set(*self._settings)

    def __enter__(self) -> Self:
        return self


def _set(enabled: bool, check_nan: bool, check_inf: bool) -> None:
    AnomalyMode.enabled, AnomalyMode.check_nan, AnomalyMode.check_inf = enabled, check_nan, check_inf


def is_anomaly_enabled() -> bool:
    """Whether anomalies are looked for."""
    return AnomalyMode.enabled


@contextmanager
def within_module(module: Any) -> Iterator[None]:
    """What is called inside belongs to this module."""
    _modules.stack.append(module)
    try:
        yield
    finally:
        _modules.stack.pop()


def check_forward(name: str, results: Sequence[Array], arguments: Sequence[Any], node: Node | None) -> None:
    """RuntimeError if a result of the operation of that name is the first to hold NaN or infinity.

    `arguments` are those of the call, as tensors or arrays; `node`, if it was recorded, remembers where.
    """
    origin = Origin(_users_line(), tuple(_modules.stack))
    if node is not None:
        node.origin = origin
    if AnomalyMode.watcher is not None:
        AnomalyMode.watcher.forward(name, arguments, results, origin)
        return
    inputs = [(index, value) for index, value in enumerate(arguments) if isinstance(value, Tensor | np.ndarray | float)]
    for result in results:
        kind = _anomaly(result, [_values(value) for _, value in inputs])
        if kind is None:
            continue
        already = [index for index, value in inputs if _has(kind, _values(value))]
        told = "".join(
            f"; its argument {index}{_named(arguments[index], origin)} had them already" for index in already
        )
        raise RuntimeError(f"Function '{name}' returned {kind} values in its forward pass, called {origin}{told}")


def check_gradients(node: Node, shares: Sequence[tuple[Edge, Gradient]], grad: Gradient) -> None:
    """RuntimeError if a gradient that a node hands on is the first to hold NaN or infinity."""
    arrived = [_values(g) for g in (grad if node.output_count > 1 else (grad,)) if g is not None]
    if AnomalyMode.watcher is not None:
        AnomalyMode.watcher.backward(node, arrived, [(edge, _values(share)) for edge, share in shares])
        return
    for edge, share in shares:
        kind = _anomaly(_values(share), arrived)
        if kind is None:
            continue
        index = next(index for index, own in enumerate(node.edges) if own is edge)
        origin = getattr(node, "origin", None)
        of = ""
        if isinstance(edge.node, AccumulateGrad):
            name = None if origin is None else origin.parameter_name(edge.node.variable)
            of = f", the gradient of {'a leaf' if name is None else f'parameter {name}'} of shape {list(edge.shape)}"
        place = "at an unknown place: it was recorded while detect_anomaly was off" if origin is None else f"{origin}"
        told = "; the gradient that it was given had them already" if any(_has(kind, a) for a in arrived) else ""
        raise RuntimeError(
            f"Function '{node.name()}' returned {kind} values in its {index}th output{of}; "
            f"the operation was called {place}{told}"
        )


def _anomaly(result: Array, inputs: Sequence[Array]) -> str | None:
    """What is wrong with a result: "nan", or "inf" where no input had it already; None if nothing."""
    if result.dtype.kind != "f" or bool(np.isfinite(result).all()):
        return None
    if AnomalyMode.check_nan and _has("nan", result):
        return "nan"
    if AnomalyMode.check_inf and _has("inf", result) and not any(_has("inf", value) for value in inputs):
        return "inf"
    return None


def _has(kind: str, values: Array) -> bool:
    return values.dtype.kind == "f" and bool((np.isnan if kind == "nan" else np.isinf)(values).any())


def _values(value: Any) -> Array:
    return value.array if isinstance(value, Tensor) else np.asarray(settled(value))


def _named(argument: Any, origin: Origin) -> str:
    name = origin.parameter_name(argument) if isinstance(argument, Tensor) else None
    return "" if name is None else f" (parameter {name})"


def _users_line() -> str | None:
    """File, line, function and text of the innermost call outside of this package; None if there is none."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] != _PACKAGE:
            code = frame.f_code
            text = linecache.getline(code.co_filename, frame.f_lineno, frame.f_globals).strip()
            return f"{code.co_filename}:{frame.f_lineno} in {code.co_name}" + (f": {text}" if text else "")
        frame = frame.f_back
    return None
