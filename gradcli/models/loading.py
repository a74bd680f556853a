"""From the name of weights to a model: random, known by name, a checkpoint file, or the run folder of a finetuning."""

from __future__ import annotations

import logging
import os
import warnings
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradcli import nn
from gradcli.checkpoints import load_checkpoint
from gradcli.checkpoints.quoting import quoted_if_odd
from gradcli.errors import WeightsError
from gradcli.kernels.random import Generator
from gradcli.models.imagenet import imagenet_classes
from gradcli.models.pretrained import ResNet18_Weights
from gradcli.models.resnet import ResNet, build_resnet18
from gradcli.models.weights_metadata import class_list_entry, names_entry, preprocessing_entry
from gradcli.models.weights_source import (
    WeightsSource,
    find_source,
    known_origin,
    weights_name,
)
from gradcli.ops import random

logger = logging.getLogger(__name__)

_CLASS_LISTS = {"imagenet1k": imagenet_classes}


@dataclass(frozen=True)
class LoadedModel:
    """A model, and what came with its weights."""

    model: ResNet
    weights: str
    """What was loaded, as said in outputs: `random:0`, a known name (`default` is told by its own) or a path."""
    frozen: tuple[str, ...] = ()
    """Parameters that the file says are frozen; `requires_grad` is off for them."""
    classes: list[str] | None = None
    """Names of the outputs: the file's own, or those of the known weights it is a copy of."""
    preprocessing: dict[str, Any] | None = None
    """What images go through, as `gradcli.data.preprocessing.Preprocessing.to_dict` says it; as `classes`."""
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def num_classes(self) -> int:
        """The size of the head."""
        return self.model.fc.out_features


def resnet18(
    *,
    weights: ResNet18_Weights | str | os.PathLike[str] | None = None,
    progress: bool = True,
    num_classes: int | None = None,
    pretrained: bool | None = None,
) -> ResNet:
    """ResNet-18 with torchvision's names, shapes and initial values.

    `weights` None draws them from the default generator. A member of `ResNet18_Weights`, or its name as torchvision
    takes it (`"DEFAULT"`, `"IMAGENET1K_V1"`), loads those weights; torchvision's are fetched on first use, with a bar
    on standard error if `progress`. Otherwise it is what `gradcli --weights` takes: `random:SEED`, a known name, a
    checkpoint file, a run folder. `pretrained=True` is the old way to ask for `IMAGENET1K_V1`, and warns as in
    torchvision. Unlike there, `num_classes` may differ from that of the weights: the head is new then.
    Raises WeightsError for weights that can't be fetched, are missing, corrupt or don't fit.
    """
    if pretrained is not None:
        warnings.warn(
            "The parameter 'pretrained' is deprecated; use weights=ResNet18_Weights.IMAGENET1K_V1, or None for False.",
            stacklevel=2,
        )
        if pretrained and weights is None:
            weights = ResNet18_Weights.IMAGENET1K_V1
    if isinstance(weights, str):
        with suppress(KeyError):
            weights = ResNet18_Weights[weights.removeprefix("ResNet18_Weights.")]
    if weights is None:
        return build_resnet18(1000 if num_classes is None else num_classes)
    if isinstance(weights, ResNet18_Weights):
        weights.fetch(progress=progress)
        return load_model(weights.value, num_classes).model
    return load_model(weights, num_classes).model


def load_model(
    weights: str | os.PathLike[str], num_classes: int | None = None, *, verify: bool = True, needs_head: bool = True
) -> LoadedModel:
    """Build ResNet-18 and load what `weights` names.

    `num_classes` asks for a head of that size: where the weights have another one or none, a new head is drawn from the
    default generator. Weights without a head are refused if it isn't given, unless `needs_head` is false: the model's
    head has no outputs then. With `verify`, copies of known weights must have the published SHA-256.
    Raises WeightsError, one line, naming what is wrong with the weights.
    """
    name = os.fspath(weights)
    if name == "random" or name.startswith("random:"):
        return _random_model(name, num_classes)
    name = weights_name(name, verify=verify)
    return _model_of(find_source(name, verify=verify), name, num_classes, needs_head)


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


def _model_of(source: WeightsSource, name: str, num_classes: int | None, needs_head: bool) -> LoadedModel:
    from gradcli.models.fitting import fitted_model

    checkpoint = load_checkpoint(source.path)
    model, notes = fitted_model(checkpoint)
    if source.known is not None and source.known.path is not None:
        notes = []  # what comes with gradcli is as it is meant to be
    own_classes = model.fc.out_features
    if own_classes == 0 and num_classes is None and needs_head:
        raise WeightsError(
            f"{checkpoint.path}: has no classifier that is one linear layer (fc.weight and fc.bias); "
            "gradcli finetune gives it a new one"
        )
    frozen = tuple(names_entry(checkpoint, "frozen") or ())
    parameters = dict(model.named_parameters())
    for parameter_name in frozen:
        if parameter_name not in parameters:
            raise WeightsError(
                f"{checkpoint.path}: its metadata freezes {quoted_if_odd(parameter_name)}, which the model doesn't have"
            )
        parameters[parameter_name].requires_grad = False
    classes = names_entry(checkpoint, "classes")
    if classes is not None and len(classes) != own_classes:
        raise WeightsError(
            f"{checkpoint.path}: its metadata names {len(classes)} classes, but its head has {own_classes}"
        )
    preprocessing = preprocessing_entry(checkpoint)
    known = source.known or known_origin(checkpoint.metadata)
    class_list = class_list_entry(checkpoint)
    if known is not None:
        class_list = known.class_names if class_list is None else class_list
        preprocessing = known.preprocessing if preprocessing is None else preprocessing
    if classes is None and class_list in _CLASS_LISTS:
        published = _CLASS_LISTS[class_list]()
        classes = list(published) if len(published) == own_classes else None
    if num_classes is not None and num_classes != own_classes:
        before = f"in place of its {own_classes}" if own_classes else "as it has none that fits"
        notes.append(f"{checkpoint.path}: a new head of {num_classes} classes, {before}")
        replace_head(model, num_classes)
        classes = None
        frozen = tuple(entry for entry in frozen if not entry.startswith(f"{model.classifier_name}."))
    for note in notes:
        logger.info("%s", note)
    logger.debug("%s: a head of %d classes", checkpoint.path, model.fc.out_features)
    return LoadedModel(model, name, frozen, classes, preprocessing, dict(checkpoint.metadata))


def replace_head(model: ResNet, num_classes: int) -> None:
    """Give the model a new, trainable classifier, drawn from the default generator."""
    setattr(model, model.classifier_name, nn.Linear(model.fc.in_features, num_classes))


def state_arrays(model: nn.Module) -> dict[str, np.ndarray[Any, Any]]:
    """The state of a model as arrays by name, shared with it."""
    return {name: tensor.array for name, tensor in model.state_dict().items()}
