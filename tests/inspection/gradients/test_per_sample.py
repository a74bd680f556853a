"""The norms of single images' gradients from one pass, against passes of single images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradcli import nn
from gradcli.autograd import Tensor
from gradcli.errors import UsageError
from gradcli.inspection.gradients.collection import collect_gradients
from gradcli.inspection.gradients.per_sample import _convolution_square, per_sample_gradients
from gradcli.training.passes import Pass, PassSettings, prepare


def prepared(**settings: Any) -> Pass:
    """A pass in evaluation mode with statistics unlike those that a network starts with."""
    run = prepare(PassSettings(**({"shape": (1, 3, 32, 32), "mode": "eval"} | settings)))
    for name, buffer in run.model.named_buffers():
        if name.endswith("running_mean"):
            buffer.array[...] = 0.1
        elif name.endswith("running_var"):
            buffer.array[...] = 0.7
    return run


def set_batch(run: Pass, images: np.ndarray[Any, Any], target: np.ndarray[Any, Any]) -> Pass:
    run.data, run.target = Tensor(images), Tensor(target)
    run.names = [f"image {index}" for index in range(len(images))]
    run.model.zero_grad()
    return run


@pytest.mark.parametrize("loss", ["sum-difference", "cross-entropy"])
def test_each_images_norms_are_those_of_a_pass_of_its_own(loss: str) -> None:
    generator = np.random.default_rng(5)
    images = generator.normal(size=(3, 3, 33, 40)).astype(np.float32)
    target = generator.random((3, 1000), dtype=np.float32) if loss != "cross-entropy" else np.array([3, 999, 3])
    run = prepared(loss=loss)
    gradients, samples = per_sample_gradients(set_batch(run, images, target))
    assert [sample.image for sample in samples] == ["image 0", "image 1", "image 2"]
    for index, sample in enumerate(samples):
        alone = collect_gradients(set_batch(run, images[index : index + 1], target[index : index + 1]))
        assert sample.loss == pytest.approx(alone.loss, rel=1e-4)
        assert list(sample.norms) == list(alone.arrays) == list(gradients.arrays)
        for name, array in alone.arrays.items():
            assert sample.norms[name] == pytest.approx(float(np.linalg.norm(array.astype(np.float64))), rel=1e-5)
        assert sample.norm**2 == pytest.approx(sum(norm**2 for norm in sample.norms.values()))


def test_chosen_parameters_and_frozen_batch_norms() -> None:
    images = np.random.default_rng(6).normal(size=(2, 3, 32, 32)).astype(np.float32)
    target = np.zeros((2, 1000), np.float32)
    run = prepared(mode=None, freeze=[("freeze", "*bn*"), ("freeze", "*downsample.1*")])
    _, samples = per_sample_gradients(set_batch(run, images, target), ["conv1.weight", "fc.*"])
    assert list(samples[0].norms) == ["conv1.weight", "fc.weight", "fc.bias"]
    alone = collect_gradients(set_batch(run, images[1:], target[1:]), ["conv1.weight"])
    assert samples[1].norms["conv1.weight"] == pytest.approx(float(np.linalg.norm(alone.arrays["conv1.weight"])), 1e-5)


def test_images_that_share_a_batch_norms_statistics_are_refused() -> None:
    with pytest.raises(UsageError, match=r"--per-sample: in train mode bn1 computes .* add --mode eval"):
        per_sample_gradients(prepare(PassSettings(shape=(2, 3, 32, 32))))


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 2)},
        {"kernel_size": 3, "dilation": (2, 1), "groups": 2},
        {"kernel_size": 1, "stride": 2},
        {"kernel_size": 3, "stride": (8, 4), "groups": 2},
    ],
)
def test_the_squared_norm_of_any_convolutions_gradient(options: dict[str, Any]) -> None:
    generator = np.random.default_rng(7)
    module = nn.Conv2d(4, 6, **options)
    images = generator.normal(size=(1, 4, 9, 8)).astype(np.float32)
    out = module(Tensor(images))
    gradient = generator.normal(size=tuple(out.shape)).astype(np.float32)
    out.backward(Tensor(gradient))
    assert module.weight.grad is not None
    expected = float((module.weight.grad.array.astype(np.float64) ** 2).sum())
    assert _convolution_square(module, images[0], gradient[0]) == pytest.approx(expected, rel=1e-5)
    image = np.full((4, 9, 8), np.nan, np.float32)
    assert np.isnan(_convolution_square(module, image, gradient[0]))
