"""Optimizers and schedules of learning rates with PyTorch's names and meaning.

What a step of SGD does not need is loaded when it is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

from gradcli.optim.optimizer import Optimizer
from gradcli.optim.sgd import SGD

if TYPE_CHECKING:
    from gradcli.optim import lr_scheduler
    from gradcli.optim.adam import Adam
    from gradcli.optim.adamw import AdamW

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "lr_scheduler"]


def __getattr__(name: str) -> Any:
    if name == "lr_scheduler":
        return importlib.import_module("gradcli.optim.lr_scheduler")
    if name in ("Adam", "AdamW"):
        return getattr(importlib.import_module(f"gradcli.optim.{name.lower()}"), name)
    raise AttributeError(f"module 'gradcli.optim' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
