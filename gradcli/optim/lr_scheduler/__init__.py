"""Schedules of learning rates with PyTorch's names, meaning and numbers, to the last bit.

A scheduler sets `lr` of each of its optimizer's groups when it is made and at each `step()`, which comes after the
optimizer's: once an epoch or once a batch, whichever the numbers given to it count.
"""

from gradcli.optim.lr_scheduler.combined import ChainedScheduler, SequentialLR
from gradcli.optim.lr_scheduler.cosine import CosineAnnealingLR, CosineAnnealingWarmRestarts
from gradcli.optim.lr_scheduler.functions import LambdaLR, MultiplicativeLR
from gradcli.optim.lr_scheduler.one_cycle import OneCycleLR
from gradcli.optim.lr_scheduler.plateau import ReduceLROnPlateau
from gradcli.optim.lr_scheduler.ramps import LinearLR, PolynomialLR
from gradcli.optim.lr_scheduler.scheduler import LRScheduler
from gradcli.optim.lr_scheduler.steps import ConstantLR, ExponentialLR, MultiStepLR, StepLR

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]
