"""The linear layer's product: rows of features times the transpose of a weight, plus a bias."""

from __future__ import annotations

import math
from typing import Any

from gradcli.ops.arguments import require_tensors
from gradcli.ops.dim_order import t
from gradcli.ops.expansion import expand
from gradcli.ops.linalg import addmm, matmul
from gradcli.ops.shape import view

__all__ = [
    "linear",
]


def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    """input @ weight.T + bias, for input (..., in), weight (out, in), bias (out,); without bias also weight (in,)."""
    require_tensors("linear", input=input, weight=weight)
    if weight.ndim == 1 and bias is None:
        return matmul(input, t(weight))
    if weight.ndim != 2 or input.ndim == 0 or input.shape[-1] != weight.shape[1]:
        rows = math.prod(input.shape[:-1])
        raise RuntimeError(
            f"mat1 and mat2 shapes cannot be multiplied ({rows}x{input.shape[-1] if input.ndim else ''} and "
            f"{weight.shape[-1] if weight.ndim else ''}x{weight.shape[0] if weight.ndim else ''})"
        )
    if bias is None:
        return matmul(input, t(weight))
    if input.ndim == 2:
        return addmm(bias, input, t(weight))
    if bias.ndim > 1:
        return matmul(input, t(weight)) + expand(bias, (*input.shape[:-1], weight.shape[0]))
    rows = view(input, (math.prod(input.shape[:-1]), input.shape[-1]))
    return view(addmm(bias, rows, t(weight)), (*input.shape[:-1], weight.shape[0]))
