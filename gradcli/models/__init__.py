"""ResNet-18 under torchvision's names."""

from gradcli.models.loading import LoadedModel, load_model, resnet18
from gradcli.models.pretrained import DEFAULT_WEIGHTS, ResNet18_Weights
from gradcli.models.resnet import BasicBlock, ResNet

__all__ = [
    "DEFAULT_WEIGHTS",
    "BasicBlock",
    "LoadedModel",
    "ResNet",
    "ResNet18_Weights",
    "load_model",
    "resnet18",
]
