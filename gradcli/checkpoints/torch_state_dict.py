"""Finding the state dict in what torch.save was given: bare, or wrapped among other entries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gradcli.checkpoints.pickle_objects import Record
from gradcli.checkpoints.quoting import quoted, some_names
from gradcli.checkpoints.torch_pickle import ParameterRecord, TensorRecord
from gradcli.errors import WeightsError

# Where training scripts put the state dict, the first one found wins: weights before their moving average.
_WRAPPERS: Final = (
    "state_dict",
    "model_state_dict",
    "model_state",
    "model_weights",
    "model",
    "network",
    "net",
    "module",
    "params",
    "weights",
    "state_dict_ema",
    "ema_state_dict",
    "model_ema",
    "params_ema",
    "ema",
)
_USUAL: Final = _WRAPPERS[0], "model"
_DEEPEST_WRAPPER: Final = 4
# The last part of a parameter's or buffer's name. An optimiser's tensors have other names.
_ENDINGS: Final = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
_MOVING_AVERAGE: Final = "ema"
_PLAIN: Final = (str, int, float)
_NAMES_SHOWN: Final = 8

_Path = tuple[Any, ...]


@dataclass(frozen=True)
class TorchStateDict:
    """The tensors by name, the plain values that stood beside them as text, and what was neither."""

    records: dict[str, TensorRecord]
    metadata: dict[str, str]
    ignored: tuple[str, ...]


def find_state_dict(content: Any, path: Path) -> TorchStateDict:
    """The state dict in the content of a PyTorch file.

    A dictionary with tensors under text keys is one. A dictionary under `state_dict`, `model` or another usual
    name, at whatever depth, is preferred to what stands around it; where there is none, the only dictionary
    inside whose names look like those of weights is taken. Text, numbers and truth values around the tensors
    become metadata, as do those in a Namespace (`args.lr`); other entries (an optimiser's state, a scheduler, a
    second copy of the weights) are listed as ignored.

    WeightsError if there is no such dictionary or more than one; it lists what there is.
    """
    if _tensor(content) is not None:
        raise WeightsError(f"{path}: holds one tensor without a name, not a dictionary of named tensors")
    entries = _entries(content)
    if entries is None or not (type(content) is dict or any(_entries(value) for value in entries.values())):
        kind = content.name if isinstance(content, Record) else type(content).__name__
        raise WeightsError(f"{path}: holds an object of type {kind}, not a dictionary of named tensors")
    metadata: dict[str, str] = {}
    ignored: list[str] = []
    for key in _path_to_state_dict(entries, path):
        _note_entries({k: v for k, v in entries.items() if k != key}, metadata, ignored)
        entries = _entries(entries[key]) or {}
    records = _named_tensors(entries)
    if not records and (entries or content):
        raise WeightsError(
            f"{path}: holds no tensors by name, neither at its top nor under a usual name such as "
            f"{' or '.join(map(repr, _USUAL))}; its entries are {some_names(entries, _NAMES_SHOWN, quoted)}"
        )
    _note_entries({k: v for k, v in entries.items() if k not in records}, metadata, ignored)
    return TorchStateDict(records, metadata, tuple(ignored))


def _path_to_state_dict(content: Mapping[Any, Any], path: Path) -> _Path:
    """The keys that lead to the state dict, outermost first; none if it is `content` itself, or nowhere."""
    if wrapped := _usual_wrappers(content, {id(content)}):
        return wrapped
    if _look_like_weights(content):
        return ()
    found = list(_unusual_wrappers(content, set()))
    originals = [keys for keys in found if not any(_MOVING_AVERAGE in str(key).lower() for key in keys)]
    if len(found) > 1 and len(originals) == 1:
        found = originals
    if len(found) > 1:
        names = some_names([".".join(map(str, keys)) for keys in found], _NAMES_SHOWN, quoted)
        raise WeightsError(
            f"{path}: holds {len(found)} dictionaries of weights: {names}; save the one that is meant alone, or "
            f"under {_WRAPPERS[0]!r}"
        )
    return found[0] if found else ()


def _usual_wrappers(content: Mapping[Any, Any], seen: set[int], depth: int = _DEEPEST_WRAPPER) -> _Path:
    for key in _WRAPPERS:
        entries = content.get(key)
        if type(entries) is not dict or id(entries) in seen:
            continue
        seen.add(id(entries))
        if depth > 1 and (inner := _usual_wrappers(entries, seen, depth - 1)):
            return (key, *inner)
        if _named_tensors(entries):
            return (key,)
    return ()


def _unusual_wrappers(content: Mapping[Any, Any], seen: set[int], depth: int = _DEEPEST_WRAPPER) -> Iterator[_Path]:
    for key, value in content.items():
        entries = _entries(value)
        if entries is None or id(value) in seen:
            continue
        seen.add(id(value))
        if _look_like_weights(entries):
            yield (key,)
        elif depth > 1:
            yield from ((key, *keys) for keys in _unusual_wrappers(entries, seen, depth - 1))


def _entries(value: Any) -> Mapping[Any, Any] | None:
    """The entries of a dictionary, or of a list by their positions; None for anything else."""
    if type(value) is dict:
        return value
    if type(value) in (list, tuple):
        return dict(enumerate(value))
    return None


def _tensor(value: Any) -> TensorRecord | None:
    if isinstance(value, ParameterRecord):
        return value.tensor
    return value if isinstance(value, TensorRecord) else None


def _named_tensors(entries: Mapping[Any, Any]) -> dict[str, TensorRecord]:
    tensors = ((name, _tensor(value)) for name, value in entries.items() if isinstance(name, str))
    return {name: tensor for name, tensor in tensors if tensor is not None}


def _look_like_weights(entries: Mapping[Any, Any]) -> bool:
    return any(name.rpartition(".")[2] in _ENDINGS for name in _named_tensors(entries))


def _note_entries(entries: Mapping[Any, Any], metadata: dict[str, str], ignored: list[str]) -> None:
    for key, value in entries.items():
        if isinstance(key, str) and isinstance(value, _PLAIN):
            metadata.setdefault(key, str(value))
        elif isinstance(value, Record) and value.name == "argparse.Namespace" and type(value.state) is dict:
            settings = {f"{key}.{name}": setting for name, setting in value.state.items()}
            plain = {name: setting for name, setting in settings.items() if isinstance(setting, _PLAIN)}
            _note_entries(plain, metadata, ignored)
            ignored.extend(name for name in settings if name not in plain)
        else:
            ignored.append(str(key))
