"""Every operation with its gradient beside it, by family. Importing this attaches the methods to Tensor."""

from gradcli.autograd import engine as _engine  # noqa: F401 - attaches Tensor.backward
from gradcli.ops import (
    activation,
    comparison,
    convolution,
    creation,
    elementwise,
    exponential,
    indexing,
    linalg,
    loss,
    normalization,
    pooling,
    random,
    reduction,
    roots,
    rounding,
    shape,
    trigonometric,
)

__all__ = [
    "activation",
    "comparison",
    "convolution",
    "creation",
    "elementwise",
    "exponential",
    "indexing",
    "linalg",
    "loss",
    "normalization",
    "pooling",
    "random",
    "reduction",
    "roots",
    "rounding",
    "shape",
    "trigonometric",
]
