"""The functions behind the layers, under PyTorch's names: `import gradcli.nn.functional as F`.

Each family of operations says in its `__all__` which names it offers.
"""

from gradcli.ops import activation, convolution, loss, normalization, padding, pooling
from gradcli.ops.activation import *
from gradcli.ops.convolution import *
from gradcli.ops.linalg import linear
from gradcli.ops.loss import *
from gradcli.ops.normalization import *
from gradcli.ops.padding import *
from gradcli.ops.pooling import *
from gradcli.ops.random import dropout
from gradcli.ops.softmax import log_softmax, softmax

__all__ = ["dropout", "linear", "log_softmax", "softmax"]
__all__ += activation.__all__
__all__ += convolution.__all__
__all__ += loss.__all__
__all__ += normalization.__all__
__all__ += padding.__all__
__all__ += pooling.__all__
