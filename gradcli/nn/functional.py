"""The functions behind the layers, under PyTorch's names: `import gradcli.nn.functional as F`."""

from gradcli.ops.activation import relu, sigmoid, tanh
from gradcli.ops.convolution import conv2d
from gradcli.ops.linalg import linear
from gradcli.ops.loss import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    log_softmax,
    mse_loss,
    nll_loss,
    softmax,
    softplus,
)
from gradcli.ops.normalization import batch_norm
from gradcli.ops.pooling import adaptive_avg_pool2d, avg_pool2d, max_pool2d
from gradcli.ops.random import dropout

__all__ = [
    "adaptive_avg_pool2d",
    "avg_pool2d",
    "batch_norm",
    "binary_cross_entropy_with_logits",
    "conv2d",
    "cross_entropy",
    "dropout",
    "linear",
    "log_softmax",
    "max_pool2d",
    "mse_loss",
    "nll_loss",
    "relu",
    "sigmoid",
    "softmax",
    "softplus",
    "tanh",
]
