"""ResNet-18 under torchvision's names.

They are loaded when first used: who asks which network a file holds does not pay for the layers of one.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradcli.models.loading import LoadedModel, load_model, resnet18
    from gradcli.models.pretrained import ResNet18_Weights
    from gradcli.models.resnet import BasicBlock, ResNet
    from gradcli.models.weights_source import DEFAULT_WEIGHTS

_MODULES = {
    "DEFAULT_WEIGHTS": "weights_source",
    "BasicBlock": "resnet",
    "LoadedModel": "loading",
    "ResNet": "resnet",
    "ResNet18_Weights": "pretrained",
    "load_model": "loading",
    "resnet18": "loading",
}

__all__ = [
    "DEFAULT_WEIGHTS",
    "BasicBlock",
    "LoadedModel",
    "ResNet",
    "ResNet18_Weights",
    "load_model",
    "resnet18",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'gradcli.models' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"gradcli.models.{_MODULES[name]}"), name)
    globals()[name] = value
    return value
