"""The functions behind the layers, under PyTorch's names: `import gradcli.nn.functional as F`.

Each family of operations says in its `__all__` which names it offers.
"""

from gradcli.ops import (
    affine,
    average_pooling,
    binary_loss,
    classification_loss,
    convolution,
    in_place_option,
    layer_normalization,
    max_pooling,
    normalization,
    padding,
    regression_loss,
    smooth_activation,
)
from gradcli.ops.activation import sigmoid, tanh
from gradcli.ops.affine import *
from gradcli.ops.average_pooling import *
from gradcli.ops.binary_loss import *
from gradcli.ops.classification_loss import *
from gradcli.ops.convolution import *
from gradcli.ops.dropout import dropout
from gradcli.ops.in_place_option import *
from gradcli.ops.layer_normalization import *
from gradcli.ops.max_pooling import *
from gradcli.ops.normalization import *
from gradcli.ops.padding import *
from gradcli.ops.regression_loss import *
from gradcli.ops.smooth_activation import *
from gradcli.ops.softmax import log_softmax, softmax

__all__ = ["dropout", "log_softmax", "sigmoid", "softmax", "tanh"]
__all__ += affine.__all__
__all__ += average_pooling.__all__
__all__ += binary_loss.__all__
__all__ += classification_loss.__all__
__all__ += convolution.__all__
__all__ += in_place_option.__all__
__all__ += layer_normalization.__all__
__all__ += max_pooling.__all__
__all__ += normalization.__all__
__all__ += padding.__all__
__all__ += regression_loss.__all__
__all__ += smooth_activation.__all__
