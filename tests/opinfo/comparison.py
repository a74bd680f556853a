"""Every sample of PyTorch's own operation database, computed by PyTorch and by gradcli, and what differs.

PyTorch tests its operations with samples: `op_db`, a list of OpInfo, each with inputs that its authors found worth
testing, and inputs that must be refused. `compare(name)` runs all of one operation: as function, method, operator and
in place, with values, types, shared memory, gradients, the names of the graph's nodes, and the types of the exceptions.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from opinfo.arguments import Conversion, describe, without_placement
from opinfo.database import Call, calls_of, database, samples_of, seed_samples
from opinfo.mismatch import Mismatch, first_line
from opinfo.results import (
    compare_dropout,
    compare_gradients,
    compare_inputs,
    compare_outputs,
    compare_sharing,
    differing_nodes,
    leaves_of,
)

import gradcli

SEED = 42
"""Before every call, in both libraries: the one that the database's own wrappers of random functions use."""

UNINITIALIZED = ("empty", "empty_like", "empty_permuted", "empty_strided", "new_empty", "new_empty_strided")
"""Operations whose values mean nothing: only shape and type are compared."""


@dataclass
class Report:
    """What came out for one name.

    `given` samples there are, `samples` of them were compared; `calls` and `errors` agreed, as results and as refusals;
    `failures` are those that did not, by what differs, each with where. `graph` holds the nodes that have another name
    than PyTorch's, and where; `used` the rows of the table of unsupported samples that some sample met.
    """

    given: int = 0
    samples: int = 0
    calls: int = 0
    errors: int = 0
    failures: dict[str, list[str]] = field(default_factory=dict)
    graph: dict[str, list[str]] = field(default_factory=dict)
    used: set[int] = field(default_factory=set)

    def fail(self, what: str, where: str) -> None:
        self.failures.setdefault(what, []).append(where)


@dataclass(frozen=True)
class Unsupported:
    """Samples that gradcli refuses on purpose: those of an operation (and one of its variants) that `applies` picks."""

    name: str
    reason: str
    variant: str | None = None
    applies: Callable[[tuple[Any, ...], dict[str, Any]], bool] = lambda args, options: True


def compare(name: str, unsupported: tuple[Unsupported, ...] = ()) -> Report:
    """All samples and refusals of all entries of this name."""
    report = Report()
    for info in database()[name]:
        variant = f"{name} {info.variant_test_name}".strip()
        samples = samples_of(info)
        report.given += len(samples)
        calls = []
        for call in calls_of(info):
            if isinstance(call, str):
                report.fail(call, variant)
            else:
                calls.append(call)
        for number, sample in enumerate(samples if calls else []):
            args, options = (sample.input, *sample.args), dict(sample.kwargs)
            where = f"{variant} sample {number} ({describe(args, options)})"
            rows = {
                row
                for row, entry in enumerate(unsupported)
                if entry.name == name
                and entry.variant in (None, info.variant_test_name)
                and entry.applies(args, options)
            }
            found = []
            for call in calls:
                try:
                    compare_call(name, call, args, options, report)
                except Mismatch as mismatch:
                    found.append(f"{call.label}: {mismatch}")
            report.samples += 1
            report.used |= rows
            if rows and not found:
                report.fail("said to be unsupported, but agrees", where)
            for what in [] if rows else found:
                report.fail(what, where)
        if calls:
            compare_errors(info, calls[0], variant, report)
    return report


def compare_call(name: str, call: Call, args: tuple[Any, ...], options: dict[str, Any], report: Report) -> None:
    """One call in both libraries; Mismatch for the first difference."""
    import torch

    if call.label != "function" and not isinstance(args[0], torch.Tensor):
        return  # a method needs a tensor
    conversion = Conversion()
    torch_args, own_args = conversion.both(args)
    torch_options, own_options = conversion.both(options)
    own_options = without_placement(call.gradcli, own_options)
    expected, actual = call_both(call, (torch_args, torch_options), (own_args, own_options))
    if expected is None:
        return
    p = own_options.get("p", 0.5)
    if name == "nn.functional.dropout" and own_options.get("training", True) and 0 < p < 1:
        compare_dropout(own_args[0], actual, p)
    else:
        compare_outputs(expected, actual, values=name not in UNINITIALIZED)
        compare_inputs(conversion)
        compare_sharing(conversion, leaves_of(expected), leaves_of(actual))
        compare_gradients(conversion, leaves_of(expected), leaves_of(actual))
        for nodes in differing_nodes(leaves_of(expected), leaves_of(actual)):
            report.graph.setdefault(nodes, []).append(f"{call.label}({describe(args, options)})")
    report.calls += 1


def call_both(call: Call, torch_arguments: Any, own_arguments: Any) -> tuple[Any, Any]:
    """The results of both libraries; (None, None) where both refuse with the same type of exception."""
    import torch

    (torch_args, torch_options), (own_args, own_options) = torch_arguments, own_arguments
    refusal: Exception | None = None
    expected: Any = None
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
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
        with warnings.catch_warnings():
            if any(warning.category is UserWarning for warning in warned):
                warnings.simplefilter("ignore", UserWarning)  # where PyTorch warns, so may gradcli
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


def compare_errors(info: Any, call: Call, variant: str, report: Report) -> None:
    """The inputs that must be refused: the exception has to be of PyTorch's type.

    Left out are those about what gradcli has not: complex and sparse tensors, `out=`, and methods called on what is no
    tensor, which Python itself refuses for types written in C.
    """
    import torch

    if info.error_inputs_func is None:
        return
    seed_samples()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        errors = list(info.error_inputs("cpu"))
    for number, error in enumerate(errors):
        sample = error.sample_input
        args, options = (sample.input, *sample.args), dict(sample.kwargs)
        if "out" in options or (info.name.startswith("__") and not isinstance(args[0], torch.Tensor)):
            continue
        conversion = Conversion()
        try:
            torch_args, own_args = conversion.both(args)
            torch_options, own_options = conversion.both(options)
        except Mismatch:
            continue
        own_options = without_placement(call.gradcli, own_options)
        try:
            expected, _ = call_both(call, (torch_args, torch_options), (own_args, own_options))
            report.errors += expected is None
        except Mismatch as mismatch:
            report.fail(str(mismatch), f"{variant} error {number} ({describe(args, options)})")


def listed(found: dict[str, list[str]], shown: int = 12) -> str:
    """What differs, a line each, with how often and where first."""
    lines = [
        f"{what} | {f'{len(where)} times, first ' if len(where) > 1 else ''}{where[0]}" for what, where in found.items()
    ]
    rest = [f"... and {len(lines) - shown} more"] if len(lines) > shown else []
    return "\n".join([*lines[:shown], *rest])
