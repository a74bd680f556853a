"""The gradient of max pooling against the definition, as an adjoint, through a ReLU, and read row by row."""

from __future__ import annotations

import numpy as np
import pytest

from gradcli.kernels import max_pooling_gradient
from gradcli.kernels.channel_expression import ChannelExpression, Term
from gradcli.kernels.max_pooling import Winners, max_pool2d, max_pool2d_indices
from gradcli.kernels.max_pooling_gradient import max_pool2d_gather, max_pool2d_input_gradient
from gradcli.kernels.threads import get_num_threads, set_num_threads
from tests.kernels.references import MEMORY_LAYOUTS, random_array
from tests.kernels.test_max_pooling import MAX_CASES, with_ties_and_specials

STEM = ((3, 3), (2, 2), (1, 1), (1, 1))


@pytest.fixture(params=[1, max_pooling_gradient.BLOCK_BYTES], ids=["row-by-row", "default-blocks"], autouse=True)
def block_bytes(request, monkeypatch):
    monkeypatch.setattr(max_pooling_gradient, "BLOCK_BYTES", request.param)


def naive_gradient(grad, indices, input_shape):
    """Each entry added to its winner, by the definition."""
    expected = np.zeros(input_shape)
    for image, channel, oh, ow in np.ndindex(*grad.shape):
        row, column = divmod(indices[image, channel, oh, ow], input_shape[3])
        expected[image, channel, row, column] += grad[image, channel, oh, ow]
    return expected


def rectified(x):
    """ReLU of `x` (N, C, H, W), not computed yet."""
    return ChannelExpression(x.dtype, [Term(x.transpose(0, 2, 3, 1).copy())], rectified=True)


@pytest.mark.parametrize(("input_shape", "kernel", "stride", "padding", "dilation", "ceil_mode"), MAX_CASES)
def test_each_entry_is_added_to_its_winner(input_shape, kernel, stride, padding, dilation, ceil_mode):
    geometry = (kernel, stride, padding, dilation)
    x = random_array(input_shape, 1).round()  # rounding makes ties
    out, winners = max_pool2d(x, *geometry, ceil_mode)
    indices = max_pool2d_indices(winners.positions, input_shape[3], *geometry)
    grad = random_array(out.shape, 2)
    gradient = max_pool2d_input_gradient(grad, winners, input_shape, *geometry)
    assert gradient.shape == input_shape
    actual = gradient.array()
    np.testing.assert_allclose(actual, naive_gradient(grad, indices, input_shape), rtol=1e-14, atol=1e-14)

    np.testing.assert_array_equal(max_pool2d_gather(x, winners.positions, *geometry), out)
    other = random_array(input_shape, 3)
    gathered = max_pool2d_gather(other, winners.positions, *geometry)
    assert np.vdot(gathered, grad) == pytest.approx(np.vdot(other, actual), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("computed", [True, False])
@pytest.mark.parametrize(("input_shape", "kernel", "stride", "padding", "dilation", "ceil_mode"), MAX_CASES)
def test_rows_can_be_read_without_storing_the_rest(computed, input_shape, kernel, stride, padding, dilation, ceil_mode):
    geometry = (kernel, stride, padding, dilation)
    out, winners = max_pool2d(random_array(input_shape, 1), *geometry, ceil_mode)
    grad = random_array(out.shape, 2)
    expected = max_pool2d_input_gradient(grad, winners, input_shape, *geometry).images()
    gradient = max_pool2d_input_gradient(grad, winners, input_shape, *geometry)
    if computed:
        gradient.array()
    n, channels, height, width = input_shape
    for first in range(height):
        for last in range(first + 1, height + 1):
            rows, images = slice(first, last), slice(n // 2, n)
            target = np.full((n - n // 2, last - first, width + 2, channels), 9.0)[:, :, 1:-1]  # inside of a border
            gradient.write(target, images, rows)
            np.testing.assert_allclose(target, expected[images, rows], rtol=1e-14, atol=1e-14)
    assert gradient.is_computed == computed


def test_every_pixel_is_seen_once_while_it_is_computed():
    out, winners = max_pool2d(random_array((3, 2, 9, 8), 1), *STEM, False)
    gradient = max_pool2d_input_gradient(random_array(out.shape, 2), winners, (3, 2, 9, 8), *STEM)
    pieces = {}
    rows = gradient.compute(lambda first, piece: pieces.update({first: piece.copy()}))
    np.testing.assert_array_equal(np.concatenate([pieces[first] for first in sorted(pieces)]), rows)
    assert np.cumsum([0, *(len(pieces[first]) for first in sorted(pieces))])[:-1].tolist() == sorted(pieces)
    np.testing.assert_array_equal(rows, gradient.images().reshape(-1, 2))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("specials", [False, True])
def test_the_gradient_of_relu_before_it_needs_no_computed_relu(dtype, specials):
    shape = (2, 3, 9, 7)
    x = (with_ties_and_specials(shape, 1) if specials else random_array(shape, 1)).astype(dtype)
    source = rectified(x)
    out, winners = max_pool2d(source, *STEM, False)
    grad = random_array(out.shape, 2, dtype)
    grad[0, 0, 0, 0] = np.inf
    gradient = max_pool2d_input_gradient(grad, winners, shape, *STEM).masked(source)
    rows = gradient.compute()
    assert not source.is_computed
    plain = max_pool2d_input_gradient(grad, winners, shape, *STEM).array()
    expected = np.where(source.array() <= 0, dtype(0), plain)
    assert gradient.dtype == dtype
    np.testing.assert_array_equal(rows, expected.transpose(0, 2, 3, 1).reshape(rows.shape))


@pytest.mark.parametrize("what", ["source computed", "gradient computed", "another mask"])
def test_any_other_mask_is_applied_to_the_elements(what):
    shape = (2, 3, 9, 7)
    source = rectified(random_array(shape, 1))
    out, winners = max_pool2d(source, *STEM, False)
    grad = random_array(out.shape, 2)
    expected = max_pool2d_input_gradient(grad, winners, shape, *STEM).array()
    gradient = max_pool2d_input_gradient(grad, winners, shape, *STEM)
    mask = random_array(shape, 3) if what == "another mask" else source
    if what == "source computed":
        source.array()[...] = random_array(shape, 4)  # what is stored counts from then on
    elif what == "gradient computed":
        gradient.array()
    masked = gradient.masked(mask).array()
    values = mask if what == "another mask" else source.array()
    np.testing.assert_array_equal(masked, np.where(values <= 0, 0, expected))


def test_it_may_be_a_mask_itself():
    shape = (2, 3, 9, 7)
    out, winners = max_pool2d(random_array(shape, 1), *STEM, False)
    gradient = max_pool2d_input_gradient(random_array(out.shape, 2), winners, shape, *STEM)
    other = random_array(shape, 3)
    masked = ChannelExpression.of(other).masked(gradient).array()
    np.testing.assert_array_equal(masked, np.where(gradient.array() <= 0, 0, other))


def test_sums_with_other_gradients():
    shape = (2, 3, 9, 7)
    out, winners = max_pool2d(random_array(shape, 1), *STEM, False)
    grad, other = random_array(out.shape, 2), random_array(shape, 3)
    expected = max_pool2d_input_gradient(grad, winners, shape, *STEM).array() + other
    for total in (
        max_pool2d_input_gradient(grad, winners, shape, *STEM) + other,
        other + max_pool2d_input_gradient(grad, winners, shape, *STEM),
        ChannelExpression.of(other) + max_pool2d_input_gradient(grad, winners, shape, *STEM),
    ):
        np.testing.assert_array_equal(total.array(), expected)


def test_on_a_constant_image_the_first_pixel_of_each_window_gets_it():
    geometry = ((2, 2), (2, 2), (0, 0), (1, 1))
    _, winners = max_pool2d(np.full((1, 1, 4, 4), 7.0), *geometry, False)
    gradient = max_pool2d_input_gradient(np.ones((1, 1, 2, 2)), winners, (1, 1, 4, 4), *geometry).array()
    expected = [[1, 0, 1, 0], [0, 0, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]
    np.testing.assert_array_equal(gradient[0, 0], expected)


def test_infinities_are_kept_out_of_the_losers():
    geometry = ((2, 2), (2, 2), (0, 0), (1, 1))
    _, winners = max_pool2d(np.array([[[[1.0, 2.0], [3.0, 0.0]]]]), *geometry, False)
    gradient = max_pool2d_input_gradient(np.full((1, 1, 1, 1), np.inf), winners, (1, 1, 2, 2), *geometry).array()
    np.testing.assert_array_equal(gradient[0, 0], [[0, 0], [np.inf, 0]])


@pytest.mark.parametrize("count", [1, 3])
def test_the_number_of_threads_changes_nothing(count):
    before = get_num_threads()
    source = rectified(random_array((9, 5, 17, 16), 1, np.float32))
    out, winners = max_pool2d(source, *STEM, False)
    grad = random_array(out.shape, 2, np.float32)

    def results():
        gradient = max_pool2d_input_gradient(grad, winners, source.shape, *STEM)
        masked = gradient.masked(source).array()
        return gradient.array(), masked, max_pool2d_gather(grad_of_input, winners.positions, *STEM)

    grad_of_input = random_array(source.shape, 3, np.float32)
    expected = results()
    try:
        set_num_threads(count)
        for actual, correct in zip(results(), expected, strict=True):
            np.testing.assert_array_equal(actual, correct)
    finally:
        set_num_threads(before)


@pytest.mark.parametrize("memory", MEMORY_LAYOUTS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_any_strides_give_the_same_numbers_in_the_gradients_dtype(memory, dtype):
    shape = (2, 3, 6, 5)
    geometry = ((3, 2), (2, 1), (1, 1), (1, 1))
    x = random_array(shape, 1, dtype, memory)
    out, winners = max_pool2d(x, *geometry, False)
    planar = Winners(np.ascontiguousarray(winners.positions))
    grad = random_array(out.shape, 2, dtype, memory)
    pairs = [
        (
            max_pool2d_input_gradient(grad, planar, shape, *geometry).array(),
            max_pool2d_input_gradient(np.ascontiguousarray(grad), winners, shape, *geometry).array(),
        ),
        (max_pool2d_gather(x, planar.positions, *geometry), out),
    ]
    for actual, expected in pairs:
        assert actual.dtype == dtype
        assert actual.transpose(0, 2, 3, 1).flags.c_contiguous
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.parity
@pytest.mark.parametrize("make", [random_array, with_ties_and_specials], ids=["distinct", "ties-inf-nan"])
@pytest.mark.parametrize(("input_shape", "kernel", "stride", "padding", "dilation", "ceil_mode"), MAX_CASES)
@pytest.mark.parametrize("channels_last", [False, True])
def test_it_agrees_with_pytorch(make, input_shape, kernel, stride, padding, dilation, ceil_mode, channels_last):
    torch = pytest.importorskip("torch")
    x = make(input_shape, 1)
    tensor = torch.from_numpy(x)
    if channels_last:
        tensor = tensor.to(memory_format=torch.channels_last)
    tensor.requires_grad_()
    expected = torch.nn.functional.max_pool2d(tensor, kernel, stride, padding, dilation, ceil_mode)
    out, winners = max_pool2d(x, kernel, stride, padding, dilation, ceil_mode)
    grad = random_array(out.shape, 2)
    expected.backward(torch.from_numpy(grad))
    gradient = max_pool2d_input_gradient(grad, winners, input_shape, kernel, stride, padding, dilation)
    np.testing.assert_allclose(gradient.array(), tensor.grad.numpy(), rtol=1e-14, atol=1e-14)
