"""Pretrained weights of ResNet-18, torchvision's and gradcli's own, as torchvision's enumeration."""

from __future__ import annotations

from collections import OrderedDict
from enum import Enum, EnumType
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from gradcli.checkpoints import load_checkpoint
from gradcli.models.imagenet import imagenet_classes
from gradcli.models.weights_metadata import names_entry
from gradcli.models.weights_source import BUNDLED_WEIGHTS, PHOTOGRAPH_WEIGHTS, default_weights
from gradcli.ops.creation import from_numpy

if TYPE_CHECKING:
    from gradcli.autograd import Tensor
    from gradcli.hub.manifest import KnownWeights

_PARAMETERS: Final = 11_689_512
"""Of a ResNet-18 with 1,000 classes."""


class _DefaultOfTheMoment(EnumType):
    """Enumerations whose `DEFAULT` is one member or another, by which weights are here when somebody asks."""

    @property
    def DEFAULT(cls) -> ResNet18_Weights:  # noqa: N802 - torchvision's name
        """The weights of every command that is given none: ImageNet's if a copy is here, else those of gradcli."""
        return ResNet18_Weights(default_weights())

    def __getitem__(cls, name: str) -> Any:
        return cls.DEFAULT if name == "DEFAULT" else super().__getitem__(name)


class ResNet18_Weights(Enum, metaclass=_DefaultOfTheMoment):  # noqa: N801 - torchvision's name
    """Pretrained weights of ResNet-18, named as in torchvision; the value is their name in gradcli's manifest.

    `EMOJI1K_V1` comes with gradcli. `DEFAULT` is `IMAGENET1K_V1` if a copy of that is here, else `EMOJI1K_V1`.
    """

    IMAGENET1K_V1 = PHOTOGRAPH_WEIGHTS
    EMOJI1K_V1 = BUNDLED_WEIGHTS

    def __repr__(self) -> str:
        return f"{type(self).__name__}.{self.name}"

    @property
    def known(self) -> KnownWeights:
        """The manifest's entry."""
        from gradcli.hub.manifest import known_weights

        return known_weights()[self.value]

    @property
    def url(self) -> str:
        """Where the file is published; empty for one that comes with gradcli."""
        return self.known.url

    @property
    def meta(self) -> dict[str, Any]:
        """What torchvision says of its weights, under its keys: class names, size, measured accuracy in percent.

        WeightsError if the file that comes with gradcli, which names its classes itself, can't be read.
        """
        known = self.known
        meta: dict[str, Any] = {"min_size": (1, 1), "categories": self._classes(), "num_params": _PARAMETERS}
        if known.accuracy is not None:
            data = "ImageNet-1K" if known.class_names == "imagenet1k" else self.value
            meta["_metrics"] = {data: {"acc@1": known.accuracy.acc1, "acc@5": known.accuracy.acc5}}
        if known.size is not None:
            meta["_file_size"] = round(known.size / 2**20, 3)
        return meta

    def _classes(self) -> list[str]:
        path = self.known.path
        return list(imagenet_classes()) if path is None else names_entry(load_checkpoint(path), "classes") or []

    def fetch(self, *, progress: bool = True) -> Path:
        """A verified copy: gradcli's own or that of `torch.hub`, else it is fetched, with a bar if `progress`.

        WeightsError, one line, if it can't be fetched, or if a file that comes with gradcli is missing or damaged.
        """
        from gradcli.hub.weights import fetch_weights, find_weights

        return find_weights(self.value) or fetch_weights(self.value, progress=progress)

    def get_state_dict(self, progress: bool = True, check_hash: bool = False) -> OrderedDict[str, Tensor]:
        """The tensors by name, of a copy that is fetched if there is none.

        Values that the file holds in float16 become float32. `check_hash` is torchvision's; the SHA-256 is checked in
        any case, also that of a copy that was there.
        Raises WeightsError if the weights can't be fetched or are corrupt.
        """
        tensors = load_checkpoint(self.fetch(progress=progress)).tensors
        return OrderedDict((name, from_numpy(_at_least_float32(array))) for name, array in tensors.items())


def _at_least_float32(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return array.astype(np.float32) if array.dtype == np.float16 else array
