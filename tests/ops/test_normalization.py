"""Batch normalization in training and in evaluation: values, running moments, gradients of both orders, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from operation_cases import Case, Refusal, channels_last, checks_of, positive, real, refusal_checks_of, transposed

import gradcli
from gradcli.nn.functional import batch_norm

MEAN, VARIANCE = [0.3, -0.2, 1.1], [0.8, 1.7, 0.4]


def normalized(x, mean, variance, weight=1.0, bias=0.0, eps=1e-5):
    shape = (1, -1) + (1,) * (x.ndim - 2)
    parts = [np.reshape(part, shape) if np.ndim(part) else part for part in (mean, variance, weight, bias)]
    mean, variance, weight, bias = parts
    return (x - mean) / np.sqrt(variance + eps) * weight + bias


def by_batch(x, *affine, **options):
    axes = (0, *range(2, x.ndim))
    return normalized(x, x.mean(axes), x.var(axes), *affine, **options)


def in_training(torch, x, *affine, **options):
    running = torch.zeros(x.shape[1], dtype=x.dtype), torch.ones(x.shape[1], dtype=x.dtype)
    return torch.nn.functional.batch_norm(x, *running, *affine, training=True, **options)


def in_evaluation(torch, x, *affine, **options):
    running = torch.tensor(MEAN, dtype=x.dtype), torch.tensor(VARIANCE, dtype=x.dtype)
    return torch.nn.functional.batch_norm(x, *running, *affine, **options)


def by_running(x, *affine, **options):
    return normalized(x, MEAN, VARIANCE, *affine, **options)


SHAPES = [
    ("images", real(2, 3, 4, 5)),
    ("rows", real(6, 3)),
    ("sequences", real(2, 3, 5)),
    ("volumes", real(2, 3, 2, 2, 2)),
    ("channels last", channels_last(real(2, 3, 4, 4))),
    ("transposed", transposed(real(4, 3, 2, 2))),
]

CASES = [
    *[
        Case(
            f"{mode} {name}",
            function,
            draw,
            positive(3),
            real(3),
            expected=expected,
        )
        for mode, function, expected in (("train", in_training, by_batch), ("eval", in_evaluation, by_running))
        for name, draw in SHAPES
    ],
    Case("train plain", in_training, real(3, 3, 2, 2), expected=by_batch),
    Case("eval plain", in_evaluation, real(3, 3, 2, 2), expected=by_running),
    Case(
        "train weight only",
        lambda torch, x, w: in_training(torch, x, w),
        real(3, 3, 2, 2),
        positive(3),
        expected=by_batch,
    ),
    Case(
        "train eps",
        lambda torch, x, w, b: in_training(torch, x, w, b, eps=0.3),
        real(3, 3, 2, 2),
        positive(3),
        real(3),
        expected=lambda x, w, b: by_batch(x, w, b, eps=0.3),
    ),
    Case(
        "train without running moments",
        lambda torch, x: torch.nn.functional.batch_norm(x, None, None, training=True),
        real(4, 2, 3, 3),
        expected=by_batch,
    ),
    Case(
        "eval empty batch",
        in_evaluation,
        real(0, 3, 2, 2),
        positive(3),
        real(3),
        expected=by_running,
    ),
    Case("eval of one value", in_evaluation, real(1, 3, 1, 1), positive(3), real(3), expected=by_running),
    Case(
        "train frozen",
        lambda torch, x: in_training(torch, x, torch.full((3,), 2.0, dtype=x.dtype), torch.ones(3, dtype=x.dtype)),
        real(2, 3, 3, 3),
        expected=lambda x: by_batch(x, np.full(3, 2.0), np.ones(3)),
    ),
]


def refuse(
    name, message, *, shape=(2, 3, 2, 2), mean=3, variance=3, weight=None, bias=None, error=RuntimeError, **options
):
    def call(torch):
        vectors = (None if size is None else torch.ones(size) for size in (mean, variance, weight, bias))
        return torch.nn.functional.batch_norm(torch.ones(*shape), *vectors, **options)

    return Refusal(name, call, error, message)


REFUSALS = [
    refuse("running mean", "running_mean should contain 3 elements not 4", mean=4),
    refuse("running variance", "running_var should contain 3 elements not 4", variance=4),
    refuse("weight", "weight should contain 3 elements not 4", weight=4),
    refuse("bias", "bias should contain 3 elements not 4", weight=3, bias=4),
    refuse("no moments", "running_mean and running_var", mean=None, variance=None),
    refuse("half of the moments", "running_mean and running_var", variance=None, error=ValueError, training=True),
    refuse(
        "one value",
        r"more than 1 value per channel.*\[1, 3, 1, 1\]",
        shape=(1, 3, 1, 1),
        error=ValueError,
        training=True,
    ),
    refuse("one row", "more than 1 value per channel", shape=(1, 3), error=ValueError, training=True),
    Refusal(
        "integers",
        lambda torch: torch.nn.functional.batch_norm(
            torch.ones(2, 3, dtype=torch.int64), torch.zeros(3), torch.ones(3)
        ),
        NotImplementedError,
        "batch_norm.*int64",
    ),
    Refusal(
        "mixed types",
        lambda torch: torch.nn.functional.batch_norm(
            torch.ones(2, 3, dtype=torch.float64), torch.zeros(3), torch.ones(3)
        ),
        RuntimeError,
        "mixed dtype",
    ),
]


@pytest.mark.parametrize(("check", "case"), checks_of(CASES))
def test_operation(check, case):
    check(case)


@pytest.mark.parametrize(("check", "refusal"), refusal_checks_of(REFUSALS))
def test_refusal(check, refusal):
    check(refusal)


@pytest.mark.parametrize("momentum", [0.1, 1.0, 0.0])
def test_running_moments_move_in_place_towards_the_unbiased_ones(momentum):
    x = np.random.RandomState(0).standard_normal((4, 3, 2, 2))
    mean, variance = (gradcli.tensor(np.array(values)) for values in (MEAN, VARIANCE))
    memory = mean.array, variance.array
    batch_norm(gradcli.tensor(x), mean, variance, training=True, momentum=momentum)
    np.testing.assert_allclose(memory[0], (1 - momentum) * np.array(MEAN) + momentum * x.mean((0, 2, 3)))
    np.testing.assert_allclose(memory[1], (1 - momentum) * np.array(VARIANCE) + momentum * x.var((0, 2, 3), ddof=1))


def test_evaluation_leaves_running_moments_as_they_are():
    mean, variance = gradcli.tensor(MEAN), gradcli.tensor(VARIANCE)
    batch_norm(gradcli.ones(2, 3, 2, 2), mean, variance)
    assert (mean.array == np.float32(MEAN)).all()
    assert (variance.array == np.float32(VARIANCE)).all()


def test_backward_in_evaluation_uses_the_moments_of_the_forward_pass():
    x = gradcli.ones(2, 1, 2, 2, requires_grad=True)
    mean, variance = gradcli.zeros(1), gradcli.ones(1)
    result = batch_norm(x, mean, variance, eps=0.0)
    variance.array[:] = 4.0
    result.sum().backward()
    assert x.grad.tolist() == [[[[1.0, 1.0], [1.0, 1.0]]]] * 2


@pytest.mark.parity
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_parity_of_running_moments(dtype):
    torch = pytest.importorskip("torch")
    x = np.random.RandomState(0).standard_normal((4, 3, 5, 5)).astype(dtype)
    ours = [gradcli.tensor(np.array(values, dtype)) for values in (MEAN, VARIANCE)]
    theirs = [torch.tensor(values, dtype=getattr(torch, dtype)) for values in (MEAN, VARIANCE)]
    for _ in range(3):
        batch_norm(gradcli.tensor(x), *ours, training=True, momentum=0.3)
        torch.nn.functional.batch_norm(torch.from_numpy(x), *theirs, training=True, momentum=0.3)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one.array, other.numpy(), rtol=1e-6 if dtype == "float32" else 1e-12)


def test_float16_images_with_float32_vectors_stay_float16():
    x = gradcli.ones(2, 3, 2, 2).to(gradcli.float16).requires_grad_()
    result = batch_norm(x, gradcli.zeros(3), gradcli.ones(3), gradcli.ones(3), gradcli.zeros(3))
    result.sum().backward()
    assert (result.dtype, x.grad.dtype) == (gradcli.float16, gradcli.float16)


def test_gradients_of_float32_vectors_may_exceed_float16():
    norm = gradcli.nn.BatchNorm2d(2)
    x = gradcli.randn(8, 2, 100, 100).to(gradcli.float16)
    norm(x).backward(gradcli.ones(8, 2, 100, 100).to(gradcli.float16))
    assert norm.bias.grad.dtype is gradcli.float32
    assert norm.bias.grad.tolist() == [80_000, 80_000]


def test_an_empty_batch_leaves_the_running_statistics():
    norm = gradcli.nn.BatchNorm2d(2)
    norm(gradcli.zeros(0, 2, 3, 3))
    assert (norm.running_mean.tolist(), norm.running_var.tolist()) == ([0, 0], [1, 1])
