"""Layers with PyTorch's names, meaning and initial values."""

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
]
