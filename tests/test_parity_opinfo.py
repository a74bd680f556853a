"""Every sample of PyTorch's operation database against gradcli: values, types, gradients, graph and refusals.

`pytest tests/test_parity_opinfo.py -k cumsum` compares one operation. The tables below are the only exceptions.
"""

from __future__ import annotations

import functools
import importlib.util
import os

import pytest
from opinfo.comparison import Report, Unsupported, compare, listed
from opinfo.database import database, gradcli_function
from opinfo.mismatch import Mismatch

from gradcli.autograd import Tensor

pytestmark = pytest.mark.parity

OPERATIONS = """
    abs acos add addmm all amax amin any argmax argmin asin atan atan2 bmm broadcast_to cat ceil chunk clamp clone cos
    cosh cumsum diagonal div dot einsum eq erf exp expand expm1 flatten flip floor gather ge gt index_put index_select
    le lerp linspace log log10 log1p log2 log_softmax logaddexp logsumexp lt masked_fill matmul max maximum mean min
    minimum mm movedim mul mv narrow ne neg norm ones_like outer permute pow prod reciprocal repeat reshape roll rsqrt
    rsub scatter_add select sigmoid sign sin sinh softmax split sqrt square squeeze stack std sub sum t tan tanh
    transpose tril triu unbind unflatten unsqueeze var view where zeros_like
    __getitem__ __radd__ __rdiv__ __rmatmul__ __rmul__ __rpow__ __rsub__
    nn.functional.adaptive_avg_pool2d nn.functional.avg_pool2d nn.functional.batch_norm
    nn.functional.binary_cross_entropy_with_logits nn.functional.conv2d nn.functional.cross_entropy
    nn.functional.dropout nn.functional.gelu nn.functional.layer_norm nn.functional.leaky_relu nn.functional.linear
    nn.functional.max_pool2d nn.functional.mse_loss nn.functional.nll_loss nn.functional.pad nn.functional.relu
    nn.functional.silu nn.functional.smooth_l1_loss nn.functional.softplus
    acosh allclose arange argwhere asinh atanh baddbmm bitwise_and bitwise_not bitwise_or clamp_max clamp_min deg2rad
    empty empty_like equal erfc exp2 eye fliplr flipud floor_divide fmod frac full full_like hstack index_add inner
    isclose isfinite isnan logit logspace masked_select nonzero ones positive rad2deg rand_like randint randn randn_like
    ravel remainder round scalar_tensor scatter sgn signbit take take_along_dim tensor_split tensordot tile
    true_divide trunc vstack zeros
    nn.functional.elu nn.functional.hardtanh nn.functional.huber_loss nn.functional.l1_loss nn.functional.logsigmoid
    aminmax argsort count_nonzero cumprod fill median msort nanmean nansum randint_like sort std_mean topk var_mean
    H T __rand__ __rmod__ __ror__ bool contiguous double expand_as float half int item long mH mT new_empty new_full
    new_ones new_zeros reshape_as short split_with_sizes sum_to_size to view_as zero_
"""
NAMES = OPERATIONS.split()

# Samples that gradcli refuses on purpose, and why. A row whose samples agree fails, and so does one without samples.
UNSUPPORTED = (
    Unsupported(
        "double",
        "gradcli has no memory formats: asking for another one copies nothing",
        applies=lambda args, options: "channels_last" in str(options.get("memory_format")),
    ),
    Unsupported(
        "to",
        "gradcli has no memory formats: asking for another one copies nothing",
        applies=lambda args, options: "channels_last" in str(options.get("memory_format")) and not args[-1],
    ),
)

IN_PLACE_COUNTS = (
    "PyTorch has a derivative of its own for the operation in place, which it numbers; here they share one"
)

# Nodes that have another name than PyTorch's, by operation, and why. A row that no sample shows fails.
GRAPH_DIFFERS = {
    ("nn.functional.pad", "PadBackward0 for PyTorch's torch::autograd::CopySlices"): (
        "PyTorch writes circular padding piece by piece into an empty tensor; here it is one operation"
    ),
    ("acosh", "AcoshBackward0 for PyTorch's AcoshBackward1"): IN_PLACE_COUNTS,
    ("asinh", "AsinhBackward0 for PyTorch's AsinhBackward1"): IN_PLACE_COUNTS,
    ("atanh", "AtanhBackward0 for PyTorch's AtanhBackward1"): IN_PLACE_COUNTS,
    ("nn.functional.elu", "EluBackward0 for PyTorch's EluBackward1"): IN_PLACE_COUNTS,
    ("nn.functional.leaky_relu", "LeakyReluBackward0 for PyTorch's LeakyReluBackward1"): IN_PLACE_COUNTS,
}


@functools.cache
def report_of(name: str) -> Report:
    return compare(name, UNSUPPORTED)


@pytest.fixture(autouse=True)
def _database_needs_expecttest() -> None:
    if importlib.util.find_spec("expecttest") is None:
        if os.environ.get("GRADCLI_REQUIRE_TORCH") == "1":
            pytest.fail("PyTorch's operation database needs the package expecttest, which is not installed")
        pytest.skip("expecttest, which PyTorch's operation database needs, is not installed")


@pytest.mark.parametrize("name", NAMES)
def test_samples(name):
    report = report_of(name)
    if report.failures:
        pytest.fail(listed(report.failures), pytrace=False)
    assert report.samples == report.given > 0


@pytest.mark.parametrize("name", NAMES)
def test_graph(name):
    """The nodes have PyTorch's names, but for those in the table, which differ indeed."""
    listed_rows = {nodes for operation, nodes in GRAPH_DIFFERS if operation == name}
    found = report_of(name).graph
    unlisted = {nodes: where for nodes, where in found.items() if nodes not in listed_rows}
    if unlisted:
        pytest.fail(listed(unlisted), pytrace=False)
    assert listed_rows <= found.keys(), "rows of GRAPH_DIFFERS that hold no more"


def test_rows_of_unsupported_samples_have_samples():
    without = [entry for row, entry in enumerate(UNSUPPORTED) if row not in report_of(entry.name).used]
    assert not without


def test_no_operation_that_both_have_is_left_out():
    left_out = []
    for name in database():
        try:
            has = callable(gradcli_function(name))
        except (Mismatch, AttributeError):
            has = False
        if (has or hasattr(Tensor, name)) and name not in NAMES:
            left_out.append(name)
    assert not left_out, "OPERATIONS does not list them"


def test_every_sample_is_compared(capsys):
    reports = [report_of(name) for name in NAMES]
    agreeing = sum(not report.failures for report in reports)
    samples, calls, errors = (sum(getattr(r, what) for r in reports) for what in ("samples", "calls", "errors"))
    with capsys.disabled():
        print(
            f"\nPyTorch's operation database: {agreeing} of {len(NAMES)} operations agree; {samples} samples "
            f"compared; {calls} calls and {errors} refusals agree"
        )
    assert samples == sum(report.given for report in reports)
    assert samples > 3000
