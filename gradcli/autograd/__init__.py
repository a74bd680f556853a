"""The engine: tensors, the recorded graph, the backward pass. It knows no operation; operations attach themselves.

`functional` stands on top of the operations: it is loaded when first used.
"""

import importlib
from typing import Any

from gradcli.autograd.anomaly import detect_anomaly, is_anomaly_enabled, set_detect_anomaly
from gradcli.autograd.engine import backward, grad
from gradcli.autograd.function import Function, once_differentiable
from gradcli.autograd.grad_mode import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from gradcli.autograd.gradcheck import GradcheckError, gradcheck, gradgradcheck
from gradcli.autograd.graph import Node
from gradcli.autograd.tensor import Tensor

__all__ = [
    "Function",
    "GradcheckError",
    "Node",
    "Tensor",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "functional",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "inference_mode",
    "is_anomaly_enabled",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "no_grad",
    "once_differentiable",
    "set_detect_anomaly",
    "set_grad_enabled",
]


def __getattr__(name: str) -> Any:
    if name != "functional":
        raise AttributeError(f"module 'gradcli.autograd' has no attribute {name!r}")
    return importlib.import_module("gradcli.autograd.functional")
