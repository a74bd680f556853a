"""Optimizers with PyTorch's names and meaning."""

from gradcli.optim.optimizer import Optimizer
from gradcli.optim.sgd import SGD

__all__ = ["SGD", "Optimizer"]
