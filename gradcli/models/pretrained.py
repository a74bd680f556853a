"""torchvision's pretrained weights of ResNet-18, under torchvision's names."""

from __future__ import annotations

from collections import OrderedDict
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gradcli.checkpoints import load_checkpoint
from gradcli.models.imagenet import imagenet_classes
from gradcli.ops.creation import from_numpy

if TYPE_CHECKING:
    from gradcli.autograd import Tensor
    from gradcli.hub.manifest import KnownWeights

DEFAULT_WEIGHTS = "random:0"
"""The weights of every command that is given none."""

_PARAMETERS: Final = 11_689_512
"""Of a ResNet-18 with 1,000 classes."""


class ResNet18_Weights(Enum):  # noqa: N801 - torchvision's name
    """Pretrained weights of ResNet-18, named as in torchvision; the value is their name in gradcli's manifest."""

    IMAGENET1K_V1 = "imagenet1k-v1"
    DEFAULT = IMAGENET1K_V1

    def __repr__(self) -> str:
        return f"{type(self).__name__}.{self.name}"

    @property
    def known(self) -> KnownWeights:
        """The manifest's entry."""
        from gradcli.hub.manifest import known_weights

        return known_weights()[self.value]

    @property
    def url(self) -> str:
        """Where the file is published."""
        return self.known.url

    @property
    def meta(self) -> dict[str, Any]:
        """What torchvision says of the weights, under its keys: class names, size, published accuracy in percent."""
        known = self.known
        meta: dict[str, Any] = {
            "min_size": (1, 1),
            "categories": list(imagenet_classes()),
            "num_params": _PARAMETERS,
        }
        if known.accuracy is not None:
            meta["_metrics"] = {"ImageNet-1K": {"acc@1": known.accuracy.acc1, "acc@5": known.accuracy.acc5}}
        if known.size is not None:
            meta["_file_size"] = round(known.size / 2**20, 3)
        return meta

    def fetch(self, *, progress: bool = True) -> Path:
        """A verified copy: gradcli's own or that of `torch.hub`, else it is fetched, with a bar if `progress`.

        WeightsError, one line, if it can't be fetched.
        """
        from gradcli.hub.weights import fetch_weights, find_weights

        return find_weights(self.value) or fetch_weights(self.value, progress=progress)

    def get_state_dict(self, progress: bool = True, check_hash: bool = False) -> OrderedDict[str, Tensor]:
        """The tensors by name, of a copy that is fetched if there is none.

        `check_hash` is torchvision's; the SHA-256 is checked in any case, also that of a copy that was there.
        Raises WeightsError if the weights can't be fetched or are corrupt.
        """
        tensors = load_checkpoint(self.fetch(progress=progress)).tensors
        return OrderedDict((name, from_numpy(array)) for name, array in tensors.items())
