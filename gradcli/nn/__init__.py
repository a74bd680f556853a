"""Layers with PyTorch's names, meaning and initial values."""

from gradcli.nn import functional, init
from gradcli.nn.activation import ReLU, Sigmoid, Tanh
from gradcli.nn.batchnorm import BatchNorm2d
from gradcli.nn.container import Sequential
from gradcli.nn.conv import Conv2d
from gradcli.nn.dropout import Dropout
from gradcli.nn.flatten import Flatten
from gradcli.nn.linear import Identity, Linear
from gradcli.nn.loss import BCEWithLogitsLoss, CrossEntropyLoss, MSELoss, NLLLoss
from gradcli.nn.module import Module
from gradcli.nn.parameter import Parameter
from gradcli.nn.pooling import AdaptiveAvgPool2d, AvgPool2d, MaxPool2d

__all__ = [
    "AdaptiveAvgPool2d",
    "AvgPool2d",
    "BCEWithLogitsLoss",
    "BatchNorm2d",
    "Conv2d",
    "CrossEntropyLoss",
    "Dropout",
    "Flatten",
    "Identity",
    "Linear",
    "MSELoss",
    "MaxPool2d",
    "Module",
    "NLLLoss",
    "Parameter",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Tanh",
    "functional",
    "init",
]
