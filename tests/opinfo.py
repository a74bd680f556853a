"""Every sample of PyTorch's own operation database, computed by PyTorch and by gradcli, and what differs.

PyTorch tests its operations with samples: `op_db`, a list of OpInfo, each with inputs that its authors found worth
testing, and inputs that must be refused. `compare(name)` runs all of one operation: as function, method, operator and
in place, with values, types, gradients, the names of the graph's nodes, and the types of the exceptions. The arguments
are copied for either library, with memory of their own in the same strides.
"""

from __future__ import annotations

import functools
import inspect
import random
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import gradcli
import gradcli.nn.functional
from gradcli.autograd import Tensor

VALUE_TOLERANCE = 1e-6
GRADIENT_TOLERANCE = 1e-5

SEED = 42
"""Before every call, in both libraries: the one that the database's own wrappers of random functions use."""

# Where the database calls a lambda: the same call in either library, which stands for `torch`.
CALLS: dict[str, Callable[..., Any]] = {
    "where": lambda torch, self, condition, other: torch.where(condition, self, other),
    "einsum": lambda torch, tensors, equation: torch.einsum(equation, tensors),
    "__rdiv__": lambda torch, self, other: torch.Tensor.__rtruediv__(self, other),
    "T": lambda torch, self: self.T,
    "mT": lambda torch, self: self.mT,
}

# What gradcli may leave out of a signature, as it has one device and one layout.
PLACEMENT = ("device", "layout", "memory_format", "pin_memory")

UNINITIALIZED = ("empty", "empty_like", "empty_permuted", "empty_strided", "new_empty", "new_empty_strided")
"""Operations whose values mean nothing: only shape and type are compared."""


@dataclass
class Report:
    """What came out for one name: how many samples, calls and refusals agreed, and one line for each that did not."""

    given: int = 0
    samples: int = 0
    calls: int = 0
    errors: int = 0
    failures: list[str] = field(default_factory=list)
    graph: set[str] = field(default_factory=set)
    used: set[int] = field(default_factory=set)


@dataclass(frozen=True)
class Unsupported:
    """Samples that gradcli refuses on purpose: those of an operation (and one of its variants) that `applies` picks."""

    name: str
    reason: str
    variant: str | None = None
    applies: Callable[[tuple[Any, ...], dict[str, Any]], bool] = lambda args, options: True


class Mismatch(Exception):  # noqa: N818 - a finding, not a fault of this module
    """What differs, in a few words."""


@functools.cache
def database() -> dict[str, list[Any]]:
    """PyTorch's operation database by name. Its import takes seconds, so it is done once, and only when needed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal.common_methods_invocations import op_db
    by_name: dict[str, list[Any]] = {}
    for info in op_db:
        by_name.setdefault(info.name, []).append(info)
    return by_name


def samples_of(info: Any) -> list[Any]:
    """All samples of one entry of the database, in float64 where the operation takes it and int64 elsewhere."""
    import torch

    dtype = torch.int64 if torch.int64 in info.dtypes and torch.float64 not in info.dtypes else torch.float64
    _seed_samples()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return list(info.sample_inputs("cpu", dtype, requires_grad=info.supports_autograd and dtype == torch.float64))


def _seed_samples() -> None:
    import torch

    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)


# --- from PyTorch's arguments to gradcli's ----------------------------------------------------------------------------


class Conversion:
    """Copies of a sample's arguments for one call in each library; `pairs` are its tensors, PyTorch's and gradcli's."""

    def __init__(self) -> None:
        self.pairs: list[tuple[Any, Tensor]] = []
        self._copies: dict[int, tuple[Any, Tensor]] = {}

    def both(self, value: Any) -> tuple[Any, Any]:
        """`value` for PyTorch and for gradcli."""
        import torch

        if isinstance(value, torch.Tensor):
            if id(value) not in self._copies:
                self._copies[id(value)] = copies(value)
                self.pairs.append(self._copies[id(value)])
            return self._copies[id(value)]
        if isinstance(value, torch.Size):
            return value, tuple(value)
        if isinstance(value, list | tuple):
            parts = [self.both(part) for part in value]
            return type(value)(part[0] for part in parts), type(value)(part[1] for part in parts)
        if isinstance(value, dict):
            parts = {key: self.both(part) for key, part in value.items()}
            return {key: part[0] for key, part in parts.items()}, {key: part[1] for key, part in parts.items()}
        if isinstance(value, slice):
            bounds = [self.both(part) for part in (value.start, value.stop, value.step)]
            return slice(*(part[0] for part in bounds)), slice(*(part[1] for part in bounds))
        if isinstance(value, torch.dtype):
            name = str(value).removeprefix("torch.")
            if not hasattr(gradcli, name):
                raise Mismatch(f"gradcli has no type {name}")
            return value, getattr(gradcli, name)
        if isinstance(value, torch.device):
            return value, str(value)
        return value, value


def copies(tensor: Any) -> tuple[Any, Tensor]:
    """A leaf of PyTorch and one of gradcli with the values, strides and flag of `tensor`, each in memory of its own."""
    import torch

    if tensor.is_complex() or tensor.layout != torch.strided:
        raise Mismatch(f"gradcli has no {tensor.layout} tensors of {tensor.dtype}")
    storage = tensor.detach().untyped_storage()
    copy = torch.empty(0, dtype=tensor.dtype)
    copy.set_(storage.clone(), tensor.storage_offset(), tensor.shape, tensor.stride())
    dtype = np.dtype(str(tensor.dtype).removeprefix("torch."))
    array = np.ndarray(
        tuple(tensor.shape),
        dtype,
        buffer=bytearray(bytes(storage)) if storage.nbytes() else None,
        offset=tensor.storage_offset() * dtype.itemsize,
        strides=[stride * dtype.itemsize for stride in tensor.stride()] if storage.nbytes() else None,
    )
    return copy.requires_grad_(tensor.requires_grad), Tensor(array, requires_grad=tensor.requires_grad)


# --- what is called ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Call:
    """One way to call an operation, in both libraries."""

    label: str
    torch: Callable[..., Any]
    gradcli: Callable[..., Any]
    in_place: bool = False


def gradcli_function(name: str) -> Callable[..., Any]:
    """gradcli's function of a name of the database, or the method where PyTorch has only that; Mismatch if missing."""
    import torch

    if name in CALLS:
        return functools.partial(CALLS[name], gradcli)
    path, _, last = name.rpartition(".")
    home: Any = gradcli
    where: Any = torch
    for part in path.split(".") if path else []:
        home, where = getattr(home, part, None), getattr(where, part)
    if hasattr(where, last) and not isinstance(getattr(where, last), torch.dtype):
        full, found = f"gradcli.{name}", getattr(home, last, None)
    else:
        full, found = f"gradcli.Tensor.{last}", getattr(Tensor, last, None)
    if found is None:
        raise Mismatch(f"gradcli has no {full}")
    return found


def calls_of(info: Any) -> Iterator[Call | str]:
    """The ways to call an operation; a line of text for one that gradcli should have and has not."""
    import torch

    try:
        function = gradcli_function(info.name)
    except Mismatch as mismatch:
        yield str(mismatch)
        return
    original = functools.partial(CALLS[info.name], torch) if info.name in CALLS else info.op
    yield Call("function", original, function)
    for alias in info.aliases:
        found = getattr(gradcli, alias.name, None)
        if callable(found):
            yield Call(f"gradcli.{alias.name}", alias.op, found)
    method = getattr(info.method_variant, "__name__", None)
    if method is not None and method != "<lambda>" and info.op is not info.method_variant:
        if hasattr(Tensor, method):
            yield Call("method", info.method_variant, getattr(Tensor, method))
        else:
            yield f"gradcli.Tensor has no method {method}"
    if info.operator_variant is not None:
        yield Call("operator", info.operator_variant, info.operator_variant)
    in_place = getattr(info.inplace_variant, "__name__", None)
    if in_place == "<lambda>":
        if "inplace" in _parameters(function) and not info.name.endswith("dropout"):
            yield Call("inplace=True", info.inplace_variant, functools.partial(function, inplace=True), in_place=True)
    elif in_place is not None and hasattr(Tensor, in_place):
        yield Call(in_place, info.inplace_variant, getattr(Tensor, in_place), in_place=True)
    operator = info.inplace_operator_variant
    if operator is not None and hasattr(Tensor, in_place):  # without it Python's += makes a new tensor
        yield Call(operator.__name__, operator, operator, in_place=True)


def _parameters(function: Callable[..., Any]) -> set[str]:
    try:
        return set(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return set()


# --- comparing --------------------------------------------------------------------------------------------------------


def compare(name: str, unsupported: tuple[Unsupported, ...] = ()) -> Report:
    """All samples and refusals of all entries of this name."""
    report = Report()
    entries = database().get(name)
    if not entries:
        report.failures.append(f"PyTorch's database has no {name}")
        return report
    for info in entries:
        label = f"{name} {info.variant_test_name}".strip()
        samples = samples_of(info)
        report.given += len(samples)
        calls = []
        for call in calls_of(info):
            if isinstance(call, str):
                report.failures.append(f"{label}: {call}")
            else:
                calls.append(call)
        for number, sample in enumerate(samples if calls else []):
            args, options = (sample.input, *sample.args), dict(sample.kwargs)
            rows = [
                row
                for row, entry in enumerate(unsupported)
                if entry.name == name
                and entry.variant in (None, info.variant_test_name)
                and entry.applies(args, options)
            ]
            found = [
                f"{label} sample {number} {call.label}({describe(args, options)}): {difference}"
                for call in calls
                for difference in differences(name, call, args, options, report)
            ]
            report.samples += 1
            report.used |= set(rows)
            if not rows:
                report.failures += found
            elif not found:
                report.failures.append(
                    f"{label} sample {number} ({describe(args, options)}): said to be unsupported, but agrees"
                )
        if calls:
            report.failures += [f"{label} {line}" for line in differing_errors(info, calls[0], report)]
    return report


def differences(name: str, call: Call, args: tuple[Any, ...], options: dict[str, Any], report: Report) -> Iterator[str]:
    """What differs in one call, empty where everything agrees or the call makes no sense for these arguments."""
    import torch

    if call.label != "function" and not isinstance(args[0], torch.Tensor):
        return
    try:
        conversion = Conversion()
        torch_args, own_args = conversion.both(args)
        torch_options, own_options = conversion.both(options)
        own_options = without_placement(call.gradcli, own_options)
        expected, actual = call_both(call, (torch_args, torch_options), (own_args, own_options))
        if expected is None:
            return
        if (
            name == "nn.functional.dropout"
            and own_options.get("training", True)
            and own_options.get("p", 0.5) not in (0, 1)
        ):
            compare_dropout(own_args[0], actual, own_options.get("p", 0.5))
        else:
            compare_outputs(name, expected, actual, report)
            compare_inputs(conversion)
            compare_gradients(conversion, leaves_of(expected), leaves_of(actual))
        report.calls += 1
    except Mismatch as mismatch:
        yield str(mismatch)


def without_placement(function: Callable[..., Any], options: dict[str, Any]) -> dict[str, Any]:
    """The options without those about device and layout that gradcli's function has no parameter for."""
    if not any(key in PLACEMENT for key in options):
        return options
    known = _parameters(function)
    return {key: value for key, value in options.items() if key in known or key not in PLACEMENT}


def call_both(call: Call, torch_arguments: Any, own_arguments: Any) -> tuple[Any, Any]:
    """The results of both libraries; (None, None) where both refuse with the same type of exception."""
    import torch

    (torch_args, torch_options), (own_args, own_options) = torch_arguments, own_arguments
    refusal: Exception | None = None
    expected: Any = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(SEED)
        try:
            if call.in_place:
                torch_args = (torch_args[0].clone(), *torch_args[1:])
            expected = call.torch(*torch_args, **torch_options)
        except Exception as error:
            refusal = error
    gradcli.manual_seed(SEED)
    try:
        if call.in_place:
            own_args = (own_args[0].clone(), *own_args[1:])
        actual = call.gradcli(*own_args, **own_options)
    except Exception as error:
        if refusal is None:
            raise Mismatch(f"{type(error).__name__}: {first_line(error)}") from error
        if type(error) is not type(refusal):
            raise Mismatch(
                f"raises {type(error).__name__} ({first_line(error)}), "
                f"PyTorch {type(refusal).__name__} ({first_line(refusal)})"
            ) from error
        return None, None
    if refusal is not None:
        raise Mismatch(f"accepted, PyTorch raises {type(refusal).__name__} ({first_line(refusal)})")
    if call.in_place and actual is not own_args[0]:
        raise Mismatch("does not return the tensor that it changed")
    return expected, actual


def leaves_of(result: Any) -> list[Any]:
    """The tensors and numbers of a result, in order."""
    if isinstance(result, list | tuple):
        return [leaf for part in result for leaf in leaves_of(part)]
    return [result]


def compare_outputs(name: str, expected: Any, actual: Any, report: Report) -> None:
    """Kind, names of the fields, number, shape, type, values, flags and graph of a result."""
    import torch

    if isinstance(expected, list | tuple):
        if not isinstance(actual, list | tuple) or isinstance(expected, tuple) != isinstance(actual, tuple):
            raise Mismatch(f"gives a {type(actual).__name__}, PyTorch a {type(expected).__name__}")
        if len(actual) != len(expected):
            raise Mismatch(f"gives {len(actual)} results, PyTorch {len(expected)}")
        fields = getattr(type(expected), "__match_args__", ())
        for position, field_name in enumerate(fields):
            if getattr(actual, field_name, None) is not actual[position]:
                raise Mismatch(f"result {position} is not named {field_name}")
    for index, (theirs, ours) in enumerate(zip(leaves_of(expected), leaves_of(actual), strict=True)):
        where = f"result {index}"
        if not isinstance(theirs, torch.Tensor):
            if type(ours) is not type(theirs) or not np.isclose(ours, theirs, equal_nan=True):
                raise Mismatch(f"{where} is {ours!r}, PyTorch's {theirs!r}")
            continue
        compare_tensors(where, theirs, ours, VALUE_TOLERANCE, values=name not in UNINITIALIZED)
        if ours.requires_grad != theirs.requires_grad:
            raise Mismatch(f"{where} requires_grad={ours.requires_grad}, PyTorch's {theirs.requires_grad}")
        node, own_node = (None if grad_fn is None else grad_fn.name() for grad_fn in (theirs.grad_fn, ours.grad_fn))
        if node != own_node:
            report.graph.add(f"{own_node} for PyTorch's {node}")


def compare_tensors(where: str, theirs: Any, ours: Any, tolerance: float, *, values: bool = True) -> None:
    """Mismatch unless `ours` is a tensor of the same shape, type and values as PyTorch's `theirs`."""
    if not isinstance(ours, Tensor):
        raise Mismatch(f"{where} is a {type(ours).__name__}, PyTorch's a Tensor")
    if tuple(ours.shape) != tuple(theirs.shape):
        raise Mismatch(f"{where} has shape {list(ours.shape)}, PyTorch's {list(theirs.shape)}")
    if repr(ours.dtype) != str(theirs.dtype):
        raise Mismatch(f"{where} is {ours.dtype!r}, PyTorch's {theirs.dtype}")
    if not values:
        return
    a, b = ours.array, theirs.detach().numpy()
    if a.dtype.kind != "f":
        if not np.array_equal(a, b):
            raise Mismatch(f"{where} differs in {np.count_nonzero(a != b)} of {a.size} places")
        return
    with np.errstate(all="ignore"):
        close = np.isclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True)
        if not close.all():
            worst = np.nanmax(np.where(close, 0, np.nan_to_num(np.abs(a - b), nan=np.inf)))
            raise Mismatch(f"{where} differs in {np.count_nonzero(~close)} of {a.size} places, by up to {worst:.3g}")


def compare_inputs(conversion: Conversion) -> None:
    """Mismatch unless the call left the inputs as PyTorch's did, which changes running statistics and nothing else."""
    for index, (theirs, ours) in enumerate(conversion.pairs):
        compare_tensors(f"after the call tensor argument {index}", theirs, ours, VALUE_TOLERANCE)


def compare_gradients(conversion: Conversion, expected: list[Any], actual: list[Any]) -> None:
    """Backward from all differentiable results, with random weights, and the gradients of all inputs."""
    import torch

    generator = np.random.RandomState(0)
    outputs = []
    for theirs, ours in zip(expected, actual, strict=True):
        if isinstance(theirs, torch.Tensor) and theirs.requires_grad:
            weights = np.asarray(generator.standard_normal(tuple(theirs.shape))).astype(ours.array.dtype)
            outputs.append((theirs, ours, weights))
    if not outputs:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.autograd.backward([theirs for theirs, _, _ in outputs], [torch.from_numpy(w.copy()) for *_, w in outputs])
    try:
        for _, ours, weights in outputs:
            ours.backward(Tensor(weights), retain_graph=True)
    except Exception as error:
        raise Mismatch(f"backward: {type(error).__name__}: {first_line(error)}") from error
    for index, (theirs, ours) in enumerate(conversion.pairs):
        where = f"gradient of tensor argument {index}"
        if (theirs.grad is None) != (ours.grad is None):
            raise Mismatch(f"{where} is {ours.grad and 'there'}, PyTorch's is {theirs.grad and 'there'}")
        if theirs.grad is not None:
            compare_tensors(where, theirs.grad, ours.grad, GRADIENT_TOLERANCE)


def compare_dropout(given: Tensor, result: Tensor, p: float) -> None:
    """What holds of any draw: each element is zero or scaled by 1 / (1 - p), and so is its gradient."""
    if result.shape != given.shape or result.dtype is not given.dtype:
        raise Mismatch(f"gives {result.dtype} {list(result.shape)}, not {given.dtype} {list(given.shape)}")
    kept = result.array != 0
    if not np.allclose(result.array, np.where(kept, given.array / (1 - p), 0)):
        raise Mismatch(f"what is kept is not scaled by {1 / (1 - p):.3g}")
    if given.requires_grad:
        result.backward(Tensor(np.ones_like(result.array)))
        if not np.allclose(given.grad.array, np.where(kept | (given.array == 0), kept / (1 - p), 0)):
            raise Mismatch("the gradient does not follow what was kept")


def differing_errors(info: Any, call: Call, report: Report) -> Iterator[str]:
    """What differs in the inputs that must be refused: the type of the exception has to be PyTorch's."""
    import torch

    if info.error_inputs_func is None:
        return
    _seed_samples()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        errors = list(info.error_inputs("cpu"))
    for number, error in enumerate(errors):
        sample = error.sample_input
        args, options = (sample.input, *sample.args), dict(sample.kwargs)
        if info.name.startswith("__") and not isinstance(args[0], torch.Tensor):
            continue  # a method called on something else: what a built-in type's own check is for
        conversion = Conversion()
        try:
            torch_args, own_args = conversion.both(args)
            torch_options, own_options = conversion.both(options)
        except Mismatch:  # about types or layouts that gradcli has not
            continue
        own_options = without_placement(call.gradcli, own_options)
        try:
            expected, _ = call_both(call, (torch_args, torch_options), (own_args, own_options))
        except Mismatch as mismatch:
            yield f"error {number} ({describe(args, options)}): {mismatch}"
            continue
        if expected is None:
            report.errors += 1


# --- messages ---------------------------------------------------------------------------------------------------------


def describe(args: Any, options: dict[str, Any]) -> str:
    """Arguments in short: `f64[2,3] grad, 1, keepdim=True`."""
    return ", ".join([*map(_short, args), *(f"{key}={_short(value)}" for key, value in options.items())])


def _short(value: Any) -> str:
    import torch

    if isinstance(value, torch.Tensor):
        name = str(value.dtype).removeprefix("torch.").replace("float", "f").replace("int", "i")
        strides = "" if value.is_contiguous() else f" strides {list(value.stride())}"
        return f"{name}{list(value.shape)}{strides}{' grad' if value.requires_grad else ''}".replace(", ", ",")
    if isinstance(value, torch.Size | torch.dtype):
        return str(value)
    if isinstance(value, list | tuple):
        inner = ", ".join(map(_short, value))
        return f"[{inner}]" if isinstance(value, list) else f"({inner})"
    return repr(value)


def first_line(error: Exception) -> str:
    """The first line of a message, shortened."""
    lines = str(error).splitlines()
    return lines[0][:160] if lines else ""
