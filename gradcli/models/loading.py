"""From the name of weights to a model: random, pretrained, a checkpoint file, or the run folder of a finetuning."""

from __future__ import annotations

import json
import logging
import os
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np

from gradcli import nn
from gradcli.checkpoints import Checkpoint, load_checkpoint
from gradcli.errors import WeightsError
from gradcli.kernels.random import Generator
from gradcli.models.pretrained import DEFAULT_WEIGHTS, ResNet18_Weights
from gradcli.models.resnet import ResNet, build_resnet18
from gradcli.nn import init
from gradcli.nn.state import StateDictError
from gradcli.ops import random

logger = logging.getLogger(__name__)

RUN_WEIGHTS = "model.safetensors"
"""The weights file of a run folder."""

KNOWN_WEIGHTS = {"imagenet1k-v1": ResNet18_Weights.IMAGENET1K_V1}


@dataclass(frozen=True)
class LoadedModel:
    """A model, and what came with its weights."""

    model: ResNet
    weights: str
    """What was loaded, as said in outputs: `random:0`, a known name or a path."""
    frozen: tuple[str, ...] = ()
    """Parameters that the file says are frozen; `requires_grad` is off for them."""
    classes: list[str] | None = None
    preprocessing: dict[str, Any] | None = None
    metadata: dict[str, str] = field(default_factory=dict)


def resnet18(
    *, weights: ResNet18_Weights | str | os.PathLike[str] | None = None, num_classes: int | None = None
) -> ResNet:
    """ResNet-18 with torchvision's names, shapes and initial values.

    `weights` None draws them from the default generator. A member of `ResNet18_Weights` loads torchvision's file
    where `torch.hub` has downloaded it; without one it warns and gives gradcli's default weights. Otherwise it is
    what `gradcli --weights` takes: `random:SEED`, a known name, a `.safetensors` or `.pth` file, a run folder.
    Raises WeightsError for a file that is missing, corrupt or doesn't fit.
    """
    if weights is None:
        return build_resnet18(1000 if num_classes is None else num_classes)
    if isinstance(weights, ResNet18_Weights):
        path = weights.find()
        if path is None:
            warnings.warn(
                f"ResNet18_Weights.{weights.name} needs {weights.value}, which is not in torch.hub's cache; "
                f"using gradcli's default weights {DEFAULT_WEIGHTS} instead",
                stacklevel=2,
            )
        return load_model(DEFAULT_WEIGHTS if path is None else path, num_classes).model
    return load_model(weights, num_classes).model


def load_model(weights: str | os.PathLike[str], num_classes: int | None = None) -> LoadedModel:
    """Build ResNet-18 and load what `weights` names.

    `num_classes` asks for a head of that size: where the weights have another one, a new head is drawn from the
    default generator in its place. Raises WeightsError, one line, naming what is wrong with the weights.
    """
    name = os.fspath(weights)
    if name == "random" or name.startswith("random:"):
        return _random_model(name, num_classes)
    if name in KNOWN_WEIGHTS:
        path = KNOWN_WEIGHTS[name].find()
        if path is None:
            raise WeightsError(
                f"weights {name}: torch.hub has not downloaded {KNOWN_WEIGHTS[name].path}; give the path of that file"
            )
        return _model_of(load_checkpoint(path), name, num_classes)
    path = weights_file(name)
    if not path.exists() and path.suffix == "" and os.sep not in name:
        known = ", ".join(["random[:SEED]", *KNOWN_WEIGHTS])
        raise WeightsError(f"{name}: no such weights or file; known names are {known}")
    return _model_of(load_checkpoint(path), name, num_classes)


def weights_file(name: str) -> Path:
    """The file that a path means: itself, or the weights of a run folder. WeightsError for another folder."""
    path = Path(name)
    if not path.is_dir():
        return path
    if not (path / RUN_WEIGHTS).is_file():
        raise WeightsError(f"{name}: a folder without {RUN_WEIGHTS}; give a run folder or a weights file")
    return path / RUN_WEIGHTS


def _random_model(name: str, num_classes: int | None) -> LoadedModel:
    seed_text = name.partition(":")[2] or "0"
    try:
        seed = int(seed_text)
        Generator(seed)
    except ValueError:
        raise WeightsError(f"weights {name}: the seed must be an integer of 64 bits, such as random:0") from None
    # A generator of its own: the draws that follow don't depend on which weights were asked for.
    with random.fork_default_generator(seed):
        model = build_resnet18(1000 if num_classes is None else num_classes)
    return LoadedModel(model, f"random:{seed}")


def _model_of(checkpoint: Checkpoint, name: str, num_classes: int | None) -> LoadedModel:
    head = checkpoint.tensors.get(f"{ResNet.classifier_name}.weight")
    own_classes = int(head.shape[0]) if head is not None and head.ndim == 2 else 1000
    with init.no_values():
        model = build_resnet18(own_classes)
    narrow = sorted({dtype for dtype in checkpoint.dtypes.values() if dtype in ("float16", "bfloat16")})
    if narrow:
        logger.info("%s holds %s; computing in float32", checkpoint.path, " and ".join(narrow))
    try:
        model.load_state_dict(checkpoint.tensors)
    except StateDictError as error:
        raise WeightsError(f"{checkpoint.path}: {_misfit(error)}") from None
    metadata = checkpoint.metadata
    frozen = tuple(_names_entry(checkpoint, "frozen") or ())
    parameters = dict(model.named_parameters())
    for parameter_name in frozen:
        if parameter_name not in parameters:
            raise WeightsError(
                f"{checkpoint.path}: its metadata freezes {parameter_name}, which the model doesn't have"
            )
        parameters[parameter_name].requires_grad = False
    classes = _names_entry(checkpoint, "classes")
    if classes is not None and len(classes) != own_classes:
        raise WeightsError(
            f"{checkpoint.path}: its metadata names {len(classes)} classes, but its head has {own_classes}"
        )
    if num_classes is not None and num_classes != own_classes:
        replace_head(model, num_classes)
        classes = None
        frozen = tuple(entry for entry in frozen if not entry.startswith(f"{model.classifier_name}."))
    return LoadedModel(model, name, frozen, classes, _json_entry(checkpoint, "preprocessing", dict), dict(metadata))


def replace_head(model: ResNet, num_classes: int) -> None:
    """Give the model a new, trainable classifier, drawn from the default generator."""
    setattr(model, model.classifier_name, nn.Linear(model.fc.in_features, num_classes))


def metadata_entries(
    *, frozen: list[str] | None = None, classes: list[str] | None = None, preprocessing: dict[str, Any] | None = None
) -> dict[str, str]:
    """The text entries with which a weights file tells `load_model` what else belongs to it."""
    entries = {"frozen": frozen, "classes": classes, "preprocessing": preprocessing}
    return {f"gradcli.{key}": json.dumps(value) for key, value in entries.items() if value is not None}


def state_arrays(model: nn.Module) -> dict[str, np.ndarray[Any, Any]]:
    """The state of a model as arrays by name, shared with it."""
    return {name: tensor.array for name, tensor in model.state_dict().items()}


def _json_entry(checkpoint: Checkpoint, key: str, kind: type) -> Any:
    text = checkpoint.metadata.get(f"gradcli.{key}")
    if text is None:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, kind):
        raise WeightsError(f"{checkpoint.path}: its metadata gradcli.{key} is no JSON {kind.__name__}")
    return value


def _names_entry(checkpoint: Checkpoint, key: str) -> list[str] | None:
    names = _json_entry(checkpoint, key, list)
    if names is not None and not all(isinstance(entry, str) for entry in names):
        raise WeightsError(f"{checkpoint.path}: its metadata gradcli.{key} must be a JSON list of names")
    return cast("list[str] | None", names)


def _misfit(error: StateDictError) -> str:
    """A state dict error in one line: what differs, a few names of each kind."""
    parts = []
    if error.keys.missing_keys:
        parts.append(f"missing {_some(error.keys.missing_keys)}")
    if error.keys.unexpected_keys:
        parts.append(f"unexpected {_some(error.keys.unexpected_keys)}")
    for name, found, wanted in error.mismatched[:1]:
        parts.append(f"{name} has shape {list(found)}, not {list(wanted)}")
    if len(error.mismatched) > 1:
        parts.append(f"{len(error.mismatched) - 1} more of other shapes")
    return "not the weights of a ResNet-18: " + "; ".join(parts)


def _some(names: list[str], most: int = 3) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
