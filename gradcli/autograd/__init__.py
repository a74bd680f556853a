"""The engine: tensors, the recorded graph, the backward pass. It knows no operation; operations attach themselves."""

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
from gradcli.autograd.graph import Node
from gradcli.autograd.tensor import Tensor

__all__ = [
    "Function",
    "Node",
    "Tensor",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "grad",
    "inference_mode",
    "is_anomaly_enabled",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "no_grad",
    "once_differentiable",
    "set_detect_anomaly",
    "set_grad_enabled",
]
