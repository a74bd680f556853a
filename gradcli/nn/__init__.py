"""Layers with PyTorch's names, meaning and initial values."""

import importlib
from typing import TYPE_CHECKING, Any

from gradcli.nn import functional, init
from gradcli.nn.activation import ReLU, Sigmoid, Tanh
from gradcli.nn.batchnorm import BatchNorm2d
from gradcli.nn.container import ModuleList, Sequential
from gradcli.nn.conv import Conv2d
from gradcli.nn.dropout import Dropout
from gradcli.nn.flatten import Flatten
from gradcli.nn.layer_norm import LayerNorm
from gradcli.nn.linear import Identity, Linear
from gradcli.nn.loss import BCEWithLogitsLoss, CrossEntropyLoss, MSELoss, NLLLoss, SmoothL1Loss
from gradcli.nn.module import Module
from gradcli.nn.parameter import Parameter
from gradcli.nn.pooling import AdaptiveAvgPool2d, AvgPool2d, MaxPool2d
from gradcli.nn.smooth_activation import GELU, LeakyReLU, SiLU, Softplus

if TYPE_CHECKING:
    from gradcli.nn import utils

__all__ = [
    "GELU",
    "AdaptiveAvgPool2d",
    "AvgPool2d",
    "BCEWithLogitsLoss",
    "BatchNorm2d",
    "Conv2d",
    "CrossEntropyLoss",
    "Dropout",
    "Flatten",
    "Identity",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "MSELoss",
    "MaxPool2d",
    "Module",
    "ModuleList",
    "NLLLoss",
    "Parameter",
    "ReLU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "SmoothL1Loss",
    "Softplus",
    "Tanh",
    "functional",
    "init",
    "utils",
]


def __getattr__(name: str) -> Any:
    if name == "utils":  # loaded when it is first used: a plain step needs none of it
        return importlib.import_module("gradcli.nn.utils")
    raise AttributeError(f"module 'gradcli.nn' has no attribute {name!r}")
