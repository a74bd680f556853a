"""Copying a state dict into a model: every name and shape is checked before the first value moves.

Values in (O, I, kH, kW) order become filters with channels-last memory on the way: the one conversion that loading
costs, shared among the threads.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np

from gradcli.autograd import Tensor
from gradcli.autograd.versions import record_change
from gradcli.deferred import settle_deferred
from gradcli.kernels.threads import parallel

PIECE_ELEMENTS = 1 << 16
"""Elements that a thread copies at a time, some fifty microseconds' work."""


class IncompatibleKeys(NamedTuple):
    """What a state dict and a model don't have in common."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"_IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


class ShapeMismatch(NamedTuple):
    """A value that doesn't fit the tensor of its name."""

    name: str
    found: tuple[int, ...]
    wanted: tuple[int, ...]


class StateDictError(RuntimeError):
    """A state dict that doesn't fit: names missing, unexpected, or with values of another shape."""

    def __init__(self, owner: str, keys: IncompatibleKeys, mismatched: list[ShapeMismatch]) -> None:
        self.keys = keys
        self.mismatched = mismatched
        lines = [f"Error(s) in loading state_dict for {owner}:"]
        for label, names in (("Missing", keys.missing_keys), ("Unexpected", keys.unexpected_keys)):
            if names:
                lines.append(f"{label} key(s) in state_dict: " + ", ".join(f'"{name}"' for name in names) + ". ")
        lines += [
            f"size mismatch for {name}: copying a param with shape torch.Size({list(found)}) from checkpoint, "
            f"the shape in current model is torch.Size({list(wanted)})."
            for name, found, wanted in mismatched
        ]
        super().__init__("\n\t".join(lines))


def load_into(
    targets: Mapping[str, Tensor],
    values: Mapping[str, Any],
    optional: Collection[str],
    *,
    strict: bool,
    owner: str,
) -> IncompatibleKeys:
    """Copy `values` (tensors or arrays) into `targets` by name, or raise StateDictError and leave all as it was.

    Names in `optional` may be missing. `owner` is named in the error.
    """
    keys = IncompatibleKeys(
        [name for name in targets if name not in values and name not in optional],
        [name for name in values if name not in targets],
    )
    common = [name for name in targets if name in values]
    mismatched = [
        ShapeMismatch(name, tuple(np.shape(_array(values[name]))), tuple(targets[name].shape))
        for name in common
        if tuple(np.shape(_array(values[name]))) != tuple(targets[name].shape)
    ]
    if mismatched or (strict and (keys.missing_keys or keys.unexpected_keys)):
        raise StateDictError(owner, keys if strict else IncompatibleKeys([], []), mismatched)
    settle_deferred()  # what was put off may read the targets' old values
    with np.errstate(all="ignore"):  # a value beyond the target's type becomes infinite, as in PyTorch
        for name in common:
            _copy(targets[name].array, np.asarray(_array(values[name])))
            record_change(targets[name].array)
    return keys


def _copy(target: np.ndarray[Any, Any], value: np.ndarray[Any, Any]) -> None:
    """Copy `value` into `target` of the same shape, whatever their types and memory orders are."""
    rows = max(1, len(target) * PIECE_ELEMENTS // target.size) if target.size > PIECE_ELEMENTS else 0
    if not rows:
        np.copyto(target, value, casting="unsafe")
        return

    def copy(number: int) -> None:
        piece = slice(number * rows, (number + 1) * rows)
        np.copyto(target[piece], value[piece], casting="unsafe")

    parallel(copy, -(-len(target) // rows))


def _array(value: Any) -> Any:
    return value.array if isinstance(value, Tensor) else value
