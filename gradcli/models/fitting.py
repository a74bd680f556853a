"""Fitting the tensors of a weights file to a ResNet-18: their names, their numbers, and the head."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

import numpy as np

from gradcli.checkpoints import Checkpoint
from gradcli.checkpoints.naming import Naming, recognise_naming
from gradcli.checkpoints.quoting import quoted_if_odd, some_names
from gradcli.errors import WeightsError
from gradcli.models.architecture import architecture_of
from gradcli.models.resnet import ResNet, build_resnet18
from gradcli.nn import init
from gradcli.nn.state import StateDictError

State = dict[str, np.ndarray[Any, Any]]

_HEAD_WEIGHT: Final = f"{ResNet.classifier_name}.weight"
_HEAD_BIAS: Final = f"{ResNet.classifier_name}.bias"
_FEATURES: Final = 512
_MOST_NAMES: Final = 3


def fitted_model(checkpoint: Checkpoint) -> tuple[ResNet, list[str]]:
    """A ResNet-18 with the file's values, and in words what was done beyond copying tensors of the same name and dtype.

    The file may have any naming style; the head has the file's size. A file without a head that is one linear layer
    with a bias gives a model with a head of no classes. Batch norms without `num_batches_tracked` start at 0, as in
    PyTorch. Values become float32. WeightsError names the file and what doesn't fit: another network of the family,
    names that are missing or unexpected, shapes, or integers where weights should be.
    """
    naming = recognise_naming(checkpoint.tensors)
    if naming.networks:
        where = " and ".join(
            quoted_if_odd(f"{prefix}*") if prefix else "names without a prefix" for prefix in naming.networks
        )
        raise WeightsError(f"{checkpoint.path}: holds several networks ({where}); save the one that is meant alone")
    _refuse_other_architectures(checkpoint, naming)
    left_out = {*naming.other_head, *naming.training_only}
    state = {
        naming.name_of.get(name, name): array for name, array in checkpoint.tensors.items() if name not in left_out
    }
    weight, bias = state.get(_HEAD_WEIGHT), state.get(_HEAD_BIAS)
    if weight is None or bias is None:
        state[_HEAD_WEIGHT] = np.zeros((0, _FEATURES), np.float32)
        state[_HEAD_BIAS] = np.zeros(0, np.float32)
        num_classes = 0
    else:
        num_classes = int(weight.shape[0]) if weight.ndim == 2 else 1000
    with init.no_values():
        model = build_resnet18(num_classes)
    in_file = {torchvision: name for name, torchvision in naming.name_of.items()}
    try:
        _refuse_integers(checkpoint, state, model.state_dict().keys(), in_file)
        model.load_state_dict(state)
    except StateDictError as error:
        raise WeightsError(f"{checkpoint.path}: {_misfit(error, in_file)}") from None
    return model, _notes(checkpoint, naming, in_file)


def _refuse_other_architectures(checkpoint: Checkpoint, naming: Naming) -> None:
    shapes = {naming.torchvision_name(name): array.shape for name, array in checkpoint.tensors.items()}
    architecture = architecture_of(shapes)
    if architecture is not None and architecture.difference:
        raise WeightsError(
            f"{checkpoint.path}: is a {architecture.title} ({architecture.difference}); gradcli reads ResNet-18"
        )


def _refuse_integers(checkpoint: Checkpoint, state: State, expected: Collection[str], in_file: dict[str, str]) -> None:
    for name, array in state.items():
        if name not in expected:
            continue  # which is said of all such names at once
        if array.dtype.kind != "f" and not name.endswith(".num_batches_tracked"):
            raise WeightsError(
                f"{checkpoint.path}: {quoted_if_odd(in_file.get(name, name))} holds {array.dtype.name}; "
                "expected floating-point weights, not quantised ones"
            )


def _notes(checkpoint: Checkpoint, naming: Naming, in_file: dict[str, str]) -> list[str]:
    path = checkpoint.path
    notes = []
    if naming.style == "hf":
        notes.append(f"{path} names its tensors as Hugging Face does; they are read under torchvision's names")
    if naming.prefix:
        notes.append(f"{path}: the prefix {quoted_if_odd(naming.prefix)} is left out of the names")
    head = in_file.get(_HEAD_WEIGHT, _HEAD_WEIGHT)
    if naming.style == "torchvision" and head.removeprefix(naming.prefix) != _HEAD_WEIGHT:
        notes.append(f"{path}: {head} is taken as {_HEAD_WEIGHT}")
    if naming.training_only:
        notes.append(
            f"{path}: left out what belongs to its training only: {some_names(naming.training_only, _MOST_NAMES)}"
        )
    if naming.other_head:
        notes.append(
            f"{path}: left out its head, which is not one linear layer: {some_names(naming.other_head, _MOST_NAMES)}"
        )
    if other := sorted({"float16", "bfloat16", "float64"}.intersection(checkpoint.dtypes.values())):
        notes.append(f"{path} holds {' and '.join(other)}; computing in float32")
    return notes


def _misfit(error: StateDictError, in_file: dict[str, str]) -> str:
    """A state dict error in one line: what differs, a few names of each kind, missing ones as torchvision's."""
    parts = []
    if error.keys.missing_keys:
        parts.append(f"missing {some_names(error.keys.missing_keys, _MOST_NAMES)}")
    if error.keys.unexpected_keys:
        parts.append(f"unexpected {some_names(error.keys.unexpected_keys, _MOST_NAMES)}")
    for name, found, wanted in error.mismatched[:1]:
        parts.append(f"{in_file.get(name, name)} has shape {list(found)}, not {list(wanted)}")
    if len(error.mismatched) > 1:
        parts.append(f"{len(error.mismatched) - 1} more of other shapes")
    return "not the weights of a ResNet-18: " + "; ".join(parts)
