"""The engine: tensors, the recorded graph, the backward pass. It knows no operation; operations attach themselves."""

from gradcli.autograd.engine import backward
from gradcli.autograd.grad_mode import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from gradcli.autograd.graph import Node
from gradcli.autograd.tensor import Tensor

__all__ = ["Node", "Tensor", "backward", "enable_grad", "is_grad_enabled", "no_grad", "set_grad_enabled"]
