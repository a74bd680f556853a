"""Max pooling: every option against naive windows, indices, gradients of both orders, ties, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numerical import check_gradients, check_second_gradients
from operation_cases import Case, Refusal, channels_last, checks_of, distinct, refusal_checks_of, transposed
from pooling_windows import naive, sliding_windows, window_options

import gradcli
from gradcli.nn import functional
from gradcli.ops.max_pooling import max_pool2d_gather, max_pool2d_with_winners


def largest(values):
    return values.max(axis=-1)


#     name, draw, output size, options
MAX = [
    ("plain", distinct(2, 3, 6, 4), (3, 2), {"kernel_size": 2}),
    ("resnet", distinct(2, 2, 7, 8), (4, 4), {"kernel_size": 3, "stride": 2, "padding": 1}),
    ("dilated", distinct(1, 2, 7, 8), (3, 2), {"kernel_size": (3, 2), "stride": (1, 3), "dilation": (2, 3)}),
    ("overlapping", distinct(2, 1, 5, 5), (3, 3), {"kernel_size": 3, "stride": 1}),
    ("ceil", distinct(1, 2, 5, 6), (3, 3), {"kernel_size": 2, "stride": 2, "ceil_mode": True}),
    ("one image", distinct(2, 5, 5), (2, 2), {"kernel_size": 2}),
    ("empty batch", distinct(0, 2, 4, 4), (2, 2), {"kernel_size": 2}),
    ("channels last", channels_last(distinct(2, 3, 5, 5)), (2, 2), {"kernel_size": 3, "stride": 2}),
    ("transposed", transposed(distinct(2, 3, 4, 4)), (2, 2), {"kernel_size": [2]}),
]


def places_of_largest(x, size, options):
    """Where in its plane, row by row, each window's largest element is; no two elements are equal."""
    values = naive(largest, x, sliding_windows(x, size, options["kernel_size"], **window_options(options)))
    planes = x.reshape(*x.shape[:-2], 1, 1, math.prod(x.shape[-2:]))
    return (planes == values[..., None]).argmax(-1)


CASES = [
    *[
        Case(
            f"max {name}",
            lambda torch, x, o=options: torch.nn.functional.max_pool2d(x, **o),
            draw,
            expected=lambda x, s=size, o=options: naive(
                largest, x, sliding_windows(x, s, o["kernel_size"], **window_options(o))
            ),
        )
        for name, draw, size, options in MAX
    ],
    Case(
        "max unrecorded",
        lambda torch, x: torch.nn.functional.max_pool2d(x.detach(), 3, 2, 1),
        distinct(2, 3, 7, 8),
        expected=lambda x: naive(largest, x, sliding_windows(x, (4, 4), 3, 2, 1)),
        differentiable=False,
    ),
    *[
        Case(
            f"max with indices {name}",
            lambda torch, x, o=options: torch.nn.functional.max_pool2d(x, return_indices=True, **o)[0],
            draw,
            expected=lambda x, s=size, o=options: naive(
                largest, x, sliding_windows(x, s, o["kernel_size"], **window_options(o))
            ),
        )
        for name, draw, size, options in MAX
    ],
    *[
        Case(
            f"indices {name}",
            lambda torch, x, o=options: torch.nn.functional.max_pool2d(x, return_indices=True, **o)[1],
            draw,
            expected=lambda x, s=size, o=options: places_of_largest(x, s, o),
            differentiable=False,
        )
        for name, draw, size, options in MAX
    ],
]


def refuse(name, call, message, shape=(1, 2, 5, 5), error=RuntimeError, differs=None):
    return Refusal(name, lambda torch: call(torch.nn.functional, torch.ones(*shape)), error, message, differs=differs)


REFUSALS = [
    refuse("max of 2 dims", lambda functions, x: functions.max_pool2d(x, 2), r"max_pool2d.*\[5, 5\]", shape=(5, 5)),
    refuse(
        "max of no channels", lambda functions, x: functions.max_pool2d(x, 2), r"\[1, 0, 5, 5\]", shape=(1, 0, 5, 5)
    ),
    refuse("max window", lambda functions, x: functions.max_pool2d(x, 6), "6|small"),
    refuse("max padding", lambda functions, x: functions.max_pool2d(x, 2, padding=2), "padding"),
    refuse("max negative padding", lambda functions, x: functions.max_pool2d(x, 2, padding=-1), "padding"),
    refuse("max stride", lambda functions, x: functions.max_pool2d(x, 2, 0), "stride"),
    refuse("max kernel", lambda functions, x: functions.max_pool2d(x, 0), "kernel"),
    refuse("max three sizes", lambda functions, x: functions.max_pool2d(x, (2, 2, 2)), r"kernel_size.*\[2, 2, 2\]"),
    refuse("max dilation", lambda functions, x: functions.max_pool2d(x, 2, dilation=0), "dilation"),
    Refusal(
        "max of bools",
        lambda torch: torch.nn.functional.max_pool2d(torch.ones(1, 1, 2, 2) > 0, 2),
        NotImplementedError,
        "max_pool2d.*bool",
    ),
]


@pytest.mark.parametrize(("check", "case"), checks_of(CASES))
def test_operation(check, case):
    check(case)


@pytest.mark.parametrize(("check", "refusal"), refusal_checks_of(REFUSALS))
def test_refusal(check, refusal):
    check(refusal)


def test_gradients_of_every_order_are_linear_in_the_incoming_one():
    x = np.random.RandomState(0).permutation(32).reshape(1, 2, 4, 4) * 0.1
    options = {"kernel_size": (2, 2), "stride": (2, 1), "padding": (0, 0), "dilation": (1, 1)}
    _, (positions, *_) = max_pool2d_with_winners.operation.forward(x, **options, ceil_mode=False)
    check_gradients(lambda values: max_pool2d_gather(values, positions, **options), [x])
    check_second_gradients(lambda values: max_pool2d_gather(values * values, positions, **options), [x])


def test_the_first_of_equals_gets_the_whole_gradient():
    x = gradcli.ones(1, 1, 4, 4, requires_grad=True)
    functional.max_pool2d(x, 2).sum().backward()
    assert x.grad[0, 0].tolist() == [[1, 0, 1, 0], [0, 0, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]


def test_overlapping_windows_add_up_at_their_common_largest():
    x = gradcli.tensor([[[[0.0, 1.0, 0.0]]]], requires_grad=True)
    functional.max_pool2d(x, (1, 2), 1).sum().backward()
    assert x.grad.tolist() == [[[[0.0, 2.0, 0.0]]]]


def as_a_residual_network_begins(x, looks):
    """Batch norm, ReLU and max pooling of x (N, 2, H, W): the ReLU's result, the pooled one, and all leaves."""
    weight, bias = gradcli.tensor([1.0, -0.5], requires_grad=True), gradcli.tensor([0.1, 0.2], requires_grad=True)
    rectified = functional.relu(functional.batch_norm(x, None, None, weight, bias, training=True))
    if "retain_grad" in looks:
        rectified.retain_grad()
    if "value" in looks:
        rectified.tolist()
    return rectified, functional.max_pool2d(rectified, 3, 2, 1), [x, weight, bias]


@pytest.mark.parametrize("looks", [["retain_grad"], ["value"], ["retain_grad", "value"]], ids="+".join)
def test_looking_at_the_relu_before_it_changes_no_value(looks):
    draw = np.random.RandomState(0)
    values = draw.standard_normal((3, 2, 9, 8)).astype(np.float32)
    grad = gradcli.tensor(draw.standard_normal((3, 2, 5, 4)).astype(np.float32))
    _, pooled, leaves = as_a_residual_network_begins(gradcli.tensor(values, requires_grad=True), [])
    rectified, same, others = as_a_residual_network_begins(gradcli.tensor(values, requires_grad=True), looks)
    for out in (pooled, same):
        assert out.grad_fn.name() == "MaxPool2DWithIndicesBackward0"
        assert out.grad_fn.next_functions[0][0].name() == "ReluBackward0"
        out.backward(grad)
    np.testing.assert_array_equal(pooled.detach().numpy(), same.detach().numpy())
    for leaf, other in zip(leaves, others, strict=True):
        np.testing.assert_allclose(leaf.grad.numpy(), other.grad.numpy(), rtol=1e-5, atol=1e-6)
    if "retain_grad" in looks:
        alone = rectified.detach().clone().requires_grad_()
        functional.max_pool2d(alone, 3, 2, 1).backward(grad)
        np.testing.assert_array_equal(rectified.grad.numpy(), alone.grad.numpy())


def test_pooling_after_batch_norm_and_relu_has_right_gradients():
    x = np.random.RandomState(0).permutation(2 * 2 * 5 * 4).reshape(2, 2, 5, 4) * 0.1

    def pooled(values):
        normalized = functional.batch_norm(values, None, None, training=True)
        return functional.max_pool2d(functional.relu(normalized), 3, 2, 1)

    check_gradients(pooled, [x])
    check_second_gradients(pooled, [x])


def test_nan_wins():
    x = gradcli.tensor([[[[1.0, math.nan], [3.0, 2.0]]]])
    assert math.isnan(functional.max_pool2d(x, 2).item())


def test_padding_never_wins():
    assert functional.max_pool2d(gradcli.full((1, 1, 2, 2), -5.0), 3, 2, 1).tolist() == [[[[-5.0]]]]


def test_max_of_integers_stays_integer():
    assert functional.max_pool2d(gradcli.arange(4).reshape(1, 1, 2, 2), 2).tolist() == [[[[3]]]]


@pytest.mark.parametrize("dtype", [gradcli.int8, gradcli.int16, gradcli.int32, gradcli.int64])
def test_max_pool_of_negative_integers(dtype):
    x = gradcli.tensor([[[[-5, -7], [-6, -8]]]], dtype=dtype)
    assert gradcli.nn.functional.max_pool2d(x, 2).item() == -5


def test_indices_require_no_gradient_and_arguments_stand_in_pytorchs_order():
    x = gradcli.rand(1, 2, 5, 5, requires_grad=True)
    values, indices = functional.max_pool2d(x, 3, 2, 1, 1, False, True)
    assert (values.requires_grad, indices.requires_grad, indices.dtype) == (True, False, gradcli.int64)
    assert gradcli.equal(values, functional.max_pool2d_with_indices(x, 3, 2, 1)[0])
