"""Convolution: every option against a naive loop, gradients of both orders, and what is refused."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from operation_cases import Case, Refusal, channels_last, checks_of, real, refusal_checks_of, strided, transposed

from gradcli.nn.functional import conv2d
from gradcli.ops.dims import pair
from tests.kernels.references import naive_conv2d

#     name, input, weight, options
OPTIONS = [
    ("plain", (2, 3, 5, 6), (4, 3, 3, 3), {}),
    ("pointwise", (2, 3, 4, 4), (5, 3, 1, 1), {}),
    ("stride", (2, 3, 7, 6), (4, 3, 3, 3), {"stride": 2}),
    ("padding", (2, 3, 4, 5), (4, 3, 3, 3), {"padding": 1}),
    ("dilation", (1, 2, 7, 8), (3, 2, 3, 2), {"dilation": 2}),
    ("uneven", (2, 2, 7, 9), (3, 2, 3, 2), {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 3)}),
    ("stride past the end", (1, 2, 6, 5), (2, 2, 2, 2), {"stride": 3}),
    ("groups", (2, 4, 5, 5), (6, 2, 3, 3), {"groups": 2, "padding": 1}),
    ("depthwise", (2, 3, 5, 5), (6, 1, 3, 3), {"groups": 3, "stride": 2, "padding": (0, 1)}),
    ("pointwise stride", (2, 3, 5, 5), (4, 3, 1, 1), {"stride": (2, 2)}),
    ("whole", (2, 3, 4, 5), (4, 3, 4, 5), {}),
    ("empty batch", (0, 3, 5, 5), (4, 3, 3, 3), {"padding": 1}),
]


def naive(x, weight, bias=0, stride=1, padding=0, dilation=1, groups=1):
    out = naive_conv2d(x, weight, pair(stride, ""), pair(padding, ""), pair(dilation, ""), groups)
    return out + bias[:, None, None] if isinstance(bias, type(x)) else out


def convolve(torch, *operands, **options):
    return torch.nn.functional.conv2d(*operands, **options)


def padded_alike(torch, *operands, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch warns that an uneven padding takes time
        return convolve(torch, *operands, padding="same", **options)


CASES = [
    *[
        Case(
            name,
            lambda torch, x, w, b, o=options: convolve(torch, x, w, b, **o),
            real(*input),
            real(*weight),
            real(weight[0]),
            expected=lambda x, w, b, o=options: naive(x, w, b, **o),
        )
        for name, input, weight, options in OPTIONS
    ],
    Case("without bias", convolve, real(2, 3, 5, 5), real(4, 3, 3, 3), expected=naive),
    Case(
        "channels last",
        lambda torch, x, w: convolve(torch, x, w, padding=1),
        channels_last(real(2, 3, 5, 5)),
        channels_last(real(4, 3, 3, 3)),
        expected=lambda x, w: naive(x, w, padding=1),
    ),
    Case("strided", convolve, strided(real(2, 3, 5, 5)), transposed(real(4, 3, 3, 3)), expected=naive),
    Case(
        "one image",
        convolve,
        real(3, 5, 5),
        real(4, 3, 3, 3),
        real(4),
        expected=lambda x, w, b: naive(x[None], w, b)[0],
    ),
    *[
        Case(
            f"same {kernel}",
            lambda torch, x, w: padded_alike(torch, x, w, dilation=(1, 2)),
            real(2, 2, 5, 6),
            real(3, 2, *kernel),
            expected=lambda x, w, k=kernel: naive(
                np.pad(x, ((0, 0), (0, 0), ((k[0] - 1) // 2, k[0] // 2), (k[1] - 1, k[1] - 1))),
                w,
                dilation=(1, 2),
            ),
        )
        for kernel in [(3, 3), (2, 3), (4, 1)]
    ],
    Case(
        "valid",
        lambda torch, x, w: convolve(torch, x, w, stride=2, padding="valid"),
        real(2, 2, 5, 6),
        real(3, 2, 2, 3),
        expected=lambda x, w: naive(x, w, stride=2),
    ),
    Case(
        "twice",
        lambda torch, x, w, v: convolve(torch, convolve(torch, x, w, stride=2), v),
        real(2, 2, 8, 7),
        real(3, 2, 3, 3),
        real(2, 3, 2, 2),
        expected=lambda x, w, v: naive(naive(x, w, stride=2), v),
    ),
]


def refuse(name, input, weight, message, bias=None, error=RuntimeError, differs=None, **options):
    def call(torch):
        given = () if bias is None else (torch.ones(*bias),)
        return torch.nn.functional.conv2d(torch.ones(*input), torch.ones(*weight), *given, **options)

    return Refusal(name, call, error, message, differs=differs)


REFUSALS = [
    refuse("input of 2 dims", (5, 5), (3, 2, 3, 3), r"\[5, 5\]"),
    refuse("weight of 3 dims", (1, 2, 5, 5), (3, 2, 3), r"\[3, 2, 3\]"),
    refuse("channels", (1, 2, 5, 5), (3, 3, 3, 3), "channels"),
    refuse("window", (1, 2, 5, 5), (3, 2, 6, 6), "6"),
    refuse("bias", (1, 2, 5, 5), (3, 2, 3, 3), r"3 elements.*\[4\]", bias=(4,)),
    refuse("stride", (1, 2, 5, 5), (3, 2, 3, 3), "stride", stride=0),
    refuse("padding", (1, 2, 5, 5), (3, 2, 3, 3), "padding", padding=-1),
    refuse("dilation", (1, 2, 5, 5), (3, 2, 3, 3), "dilation", dilation=0),
    refuse("groups", (1, 2, 5, 5), (3, 1, 3, 3), "group", groups=2),
    refuse("no groups", (1, 2, 5, 5), (4, 1, 3, 3), "group", groups=0),
    refuse("three strides", (1, 2, 5, 5), (3, 2, 3, 3), r"stride.*\[1, 2, 3\]", stride=(1, 2, 3)),
    refuse("no outputs", (1, 2, 5, 5), (0, 2, 3, 3), r"\[0, 2, 3, 3\]"),
    refuse("no rows", (1, 2, 0, 5), (3, 2, 3, 3), r"\[1, 2, 0, 5\]", padding=2),
    refuse("words", (1, 2, 5, 5), (3, 2, 3, 3), "padding string: 'some'", padding="some"),
    refuse("same with stride", (1, 2, 5, 5), (3, 2, 3, 3), "strided", padding="same", stride=(1, 2)),
    Refusal(
        "bools",
        lambda torch: convolve(torch, torch.ones(1, 1, 3, 3) > 0, torch.ones(1, 1, 2, 2) > 0),
        NotImplementedError,
        "conv2d.*bool",
    ),
    Refusal(
        "types",
        lambda torch: convolve(torch, torch.ones(1, 2, 5, 5), torch.ones(3, 2, 3, 3, dtype=torch.float64)),
        RuntimeError,
        "float",
    ),
    Refusal(
        "bias type",
        lambda torch: convolve(
            torch, torch.ones(1, 1, 5, 5), torch.ones(3, 1, 3, 3), torch.ones(3, dtype=torch.float64)
        ),
        RuntimeError,
        "bias type",
    ),
]


@pytest.mark.parametrize(("check", "case"), checks_of(CASES))
def test_operation(check, case):
    check(case)


@pytest.mark.parametrize(("check", "refusal"), refusal_checks_of(REFUSALS))
def test_refusal(check, refusal):
    check(refusal)


def test_frozen_weights_get_no_gradient_and_cost_none(monkeypatch):
    from gradcli import ones
    from gradcli.kernels import convolution as kernels

    def refuse_call(*arguments):
        raise AssertionError("the gradient of a frozen weight was computed")

    monkeypatch.setattr(kernels, "conv2d_weight_gradient", refuse_call)
    x, weight = ones(1, 2, 4, 4, requires_grad=True), ones(3, 2, 3, 3)
    conv2d(x, weight).sum().backward()
    assert weight.grad is None
    assert x.grad is not None


@pytest.mark.parametrize("frozen", ["input", "weight"])
def test_gradients_of_the_only_input_that_requires_them_can_be_differentiated_again(frozen):
    from gradcli import Tensor

    def penalty(input, weight):
        out = conv2d(input, weight, padding=1)
        (out * out).sum().backward(create_graph=True)
        leaf = weight if frozen == "input" else input
        grad, leaf.grad = leaf.grad, None
        return leaf, (grad * grad).sum()

    def tensors(input_required, weight_required):
        generator = np.random.default_rng(0)
        shapes = {(2, 3, 5, 5): input_required, (4, 3, 3, 3): weight_required}
        return [Tensor(generator.normal(size=shape), required) for shape, required in shapes.items()]

    leaf, alone = penalty(*tensors(frozen != "input", frozen != "weight"))
    alone.backward()
    together, expected = penalty(*tensors(True, True))
    expected.backward()
    np.testing.assert_allclose(alone.item(), expected.item(), rtol=1e-12)
    np.testing.assert_allclose(leaf.grad.array, together.grad.array, rtol=1e-10)
