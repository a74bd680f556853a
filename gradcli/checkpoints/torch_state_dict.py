"""Finding the state dict in what torch.save was given: bare, or wrapped among other entries."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gradcli.checkpoints.torch_pickle import TensorRecord
from gradcli.errors import WeightsError

# Where training scripts put the state dict, the first one found wins.
_WRAPPERS: Final = (
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "network",
    "net",
    "state_dict_ema",
    "model_ema",
)
_DEEPEST_WRAPPER: Final = 2  # a bound, because a pickle can hold dictionaries that contain themselves
_NAMES_SHOWN: Final = 8


@dataclass(frozen=True)
class TorchStateDict:
    """The tensors by name, the plain values that stood beside them as text, and what was neither."""

    records: dict[str, TensorRecord]
    metadata: dict[str, str]
    ignored: tuple[str, ...]


def find_state_dict(content: Any, path: Path) -> TorchStateDict:
    """The state dict in the content of a PyTorch file.

    A dictionary with tensors under text keys is one. A dictionary under `state_dict`, `model` or
    another usual name is preferred to what stands around it. Text, numbers and truth values around
    the tensors become metadata; other entries (an optimiser's state, a scheduler) are listed as ignored.

    WeightsError if there is no such dictionary; it lists the entries that there are.
    """
    if isinstance(content, TensorRecord):
        raise WeightsError(f"{path}: holds one tensor without a name, not a dictionary of named tensors")
    if not isinstance(content, dict):
        kind = type(content).__name__
        raise WeightsError(f"{path}: holds an object of type {kind}, not a dictionary of named tensors")
    wrappers = _wrappers(content)
    metadata: dict[str, str] = {}
    ignored: list[str] = []
    for wrapper in wrappers:
        _note_entries({k: v for k, v in content.items() if k != wrapper}, metadata, ignored)
        content = content[wrapper]
    records = {name: value for name, value in content.items() if _is_named_tensor(name, value)}
    if content and not records:
        raise WeightsError(
            f"{path}: holds no tensors by name, neither at its top nor under {', '.join(_WRAPPERS)}; "
            f"its entries are {_listed(content)}"
        )
    _note_entries({k: v for k, v in content.items() if k not in records}, metadata, ignored)
    return TorchStateDict(records, metadata, tuple(ignored))


def _wrappers(content: dict[Any, Any], depth: int = _DEEPEST_WRAPPER) -> tuple[str, ...]:
    """The keys that lead to a state dict inside, outermost first; none if none of the usual keys does."""
    for key in _WRAPPERS:
        value = content.get(key)
        if not isinstance(value, dict):
            continue
        if any(_is_named_tensor(name, entry) for name, entry in value.items()):
            return (key,)
        if depth > 1 and (inner := _wrappers(value, depth - 1)):
            return (key, *inner)
    return ()


def _note_entries(entries: dict[Any, Any], metadata: dict[str, str], ignored: list[str]) -> None:
    for key, value in entries.items():
        if isinstance(key, str) and isinstance(value, str | int | float):
            metadata.setdefault(key, str(value))
        else:
            ignored.append(str(key))


def _is_named_tensor(name: object, value: object) -> bool:
    return isinstance(name, str) and isinstance(value, TensorRecord)


def _listed(names: Iterable[Any]) -> str:
    shown = [repr(str(name)[:60]) for name in names]
    more = len(shown) - _NAMES_SHOWN
    return ", ".join(shown[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
