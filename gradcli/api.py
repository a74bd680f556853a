"""Everything that `import gradcli as torch` offers. `gradcli/__init__.py` takes the names from here when first used.

Each family of operations says in its `__all__` which names it offers.
"""

from math import e, inf, nan, pi

from gradcli.autograd import (
    Tensor,
    enable_grad,
    inference_mode,
    is_anomaly_enabled,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from gradcli.autograd.dtypes import (
    Size,
    double,
    dtype,
    float,
    float16,
    float32,
    float64,
    half,
    int,
    int8,
    int16,
    int32,
    int64,
    long,
    short,
    uint8,
)
from gradcli.autograd.dtypes import bool_ as bool
from gradcli.kernels.policy import get_kernels, set_kernels
from gradcli.kernels.threads import get_num_threads, set_num_threads
from gradcli.ops import (
    arithmetic,
    assignment,
    attributes,
    choosing,
    clamping,
    comparison,
    contraction,
    conversion,
    creation,
    cumulative,
    diagonals,
    dim_order,
    division,
    einstein,
    error_function,
    expansion,
    exponential,
    extrema,
    filling,
    gathering,
    index_selection,
    indexing,
    joining,
    linalg,
    norms,
    powers,
    product,
    random,
    ranges,
    rearrangement,
    reduction,
    repetition,
    roots,
    rounding,
    shape,
    sorting,
    splitting,
    trigonometric,
    truth,
    two_variables,
    variance,
)
from gradcli.ops.activation import relu, sigmoid, tanh
from gradcli.ops.arithmetic import *
from gradcli.ops.assignment import *
from gradcli.ops.attributes import *
from gradcli.ops.choosing import *
from gradcli.ops.clamping import *
from gradcli.ops.comparison import *
from gradcli.ops.contraction import *
from gradcli.ops.conversion import *
from gradcli.ops.convolution import conv2d
from gradcli.ops.creation import *
from gradcli.ops.cumulative import *
from gradcli.ops.diagonals import *
from gradcli.ops.dim_order import *
from gradcli.ops.division import *
from gradcli.ops.einstein import *
from gradcli.ops.error_function import *
from gradcli.ops.expansion import *
from gradcli.ops.exponential import *
from gradcli.ops.extrema import *
from gradcli.ops.filling import *
from gradcli.ops.gathering import *
from gradcli.ops.index_selection import *
from gradcli.ops.indexing import *
from gradcli.ops.joining import *
from gradcli.ops.linalg import *
from gradcli.ops.norms import *
from gradcli.ops.powers import *
from gradcli.ops.product import *
from gradcli.ops.random import *
from gradcli.ops.ranges import *
from gradcli.ops.rearrangement import *
from gradcli.ops.reduction import *
from gradcli.ops.repetition import *
from gradcli.ops.roots import *
from gradcli.ops.rounding import *
from gradcli.ops.shape import *
from gradcli.ops.softmax import log_softmax, logsumexp, softmax
from gradcli.ops.sorting import *
from gradcli.ops.splitting import *
from gradcli.ops.trigonometric import *
from gradcli.ops.truth import *
from gradcli.ops.two_variables import *
from gradcli.ops.variance import *

__all__ = [
    "Size",
    "Tensor",
    "bool",
    "conv2d",
    "double",
    "dtype",
    "e",
    "enable_grad",
    "float",
    "float16",
    "float32",
    "float64",
    "get_kernels",
    "get_num_threads",
    "half",
    "inf",
    "inference_mode",
    "int",
    "int8",
    "int16",
    "int32",
    "int64",
    "is_anomaly_enabled",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "log_softmax",
    "logsumexp",
    "long",
    "nan",
    "no_grad",
    "pi",
    "relu",
    "set_grad_enabled",
    "set_kernels",
    "set_num_threads",
    "short",
    "sigmoid",
    "softmax",
    "tanh",
    "uint8",
]
__all__ += arithmetic.__all__
__all__ += assignment.__all__
__all__ += attributes.__all__
__all__ += choosing.__all__
__all__ += clamping.__all__
__all__ += comparison.__all__
__all__ += contraction.__all__
__all__ += conversion.__all__
__all__ += creation.__all__
__all__ += cumulative.__all__
__all__ += diagonals.__all__
__all__ += dim_order.__all__
__all__ += division.__all__
__all__ += einstein.__all__
__all__ += error_function.__all__
__all__ += expansion.__all__
__all__ += exponential.__all__
__all__ += filling.__all__
__all__ += extrema.__all__
__all__ += gathering.__all__
__all__ += index_selection.__all__
__all__ += indexing.__all__
__all__ += joining.__all__
__all__ += linalg.__all__
__all__ += norms.__all__
__all__ += powers.__all__
__all__ += product.__all__
__all__ += random.__all__
__all__ += ranges.__all__
__all__ += rearrangement.__all__
__all__ += reduction.__all__
__all__ += repetition.__all__
__all__ += roots.__all__
__all__ += rounding.__all__
__all__ += shape.__all__
__all__ += sorting.__all__
__all__ += splitting.__all__
__all__ += trigonometric.__all__
__all__ += truth.__all__
__all__ += two_variables.__all__
__all__ += variance.__all__
