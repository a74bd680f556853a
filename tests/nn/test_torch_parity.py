"""Every layer against PyTorch's: text, initial values for a seed, results and gradients."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import gradcli

pytestmark = pytest.mark.parity

# How to make a layer from either library's `nn`, and the shape of an input for it.
LAYERS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "linear": (lambda nn: nn.Linear(5, 7), (4, 5)),
    "linear-1d": (lambda nn: nn.Linear(5, 7), (5,)),
    "linear-no-bias": (lambda nn: nn.Linear(20, 3, bias=False), (2, 3, 20)),
    "conv": (lambda nn: nn.Conv2d(3, 8, 3), (2, 3, 7, 6)),
    "conv-stem": (lambda nn: nn.Conv2d(3, 8, kernel_size=7, stride=2, padding=3, bias=False), (2, 3, 16, 16)),
    "conv-all": (lambda nn: nn.Conv2d(4, 6, (3, 2), (2, 1), (1, 2), (1, 2), 2), (2, 4, 9, 8)),
    "conv-depthwise": (lambda nn: nn.Conv2d(4, 4, 3, padding=1, groups=4), (1, 4, 5, 5)),
    "batch-norm": (lambda nn: nn.BatchNorm2d(3), (4, 3, 5, 5)),
    "batch-norm-average": (lambda nn: nn.BatchNorm2d(3, eps=0.01, momentum=None), (4, 3, 5, 5)),
    "batch-norm-bare": (lambda nn: nn.BatchNorm2d(3, affine=False, track_running_stats=False), (4, 3, 5, 5)),
    "layer-norm": (lambda nn: nn.LayerNorm([3, 4]), (2, 3, 4)),
    "layer-norm-no-bias": (lambda nn: nn.LayerNorm(4, eps=0.01, bias=False), (2, 3, 4)),
    "layer-norm-bare": (lambda nn: nn.LayerNorm(4, elementwise_affine=False), (2, 3, 4)),
    "gelu": (lambda nn: nn.GELU(), (3, 4)),
    "gelu-tanh": (lambda nn: nn.GELU("tanh"), (3, 4)),
    "leaky-relu": (lambda nn: nn.LeakyReLU(0.2), (3, 4)),
    "silu": (lambda nn: nn.SiLU(), (3, 4)),
    "softplus": (lambda nn: nn.Softplus(2.0, 0.5), (3, 4)),
    "relu": (lambda nn: nn.ReLU(), (3, 4)),
    "sigmoid": (lambda nn: nn.Sigmoid(), (3, 4)),
    "tanh": (lambda nn: nn.Tanh(), (3, 4)),
    "max-pool": (lambda nn: nn.MaxPool2d(3, 2, 1), (2, 3, 9, 8)),
    "max-pool-dilated": (lambda nn: nn.MaxPool2d((2, 3), dilation=2, ceil_mode=True), (2, 3, 9, 8)),
    "avg-pool": (lambda nn: nn.AvgPool2d(3, 2, 1, count_include_pad=False), (2, 3, 9, 8)),
    "adaptive-avg-pool": (lambda nn: nn.AdaptiveAvgPool2d((1, 1)), (2, 3, 9, 8)),
    "adaptive-avg-pool-grid": (lambda nn: nn.AdaptiveAvgPool2d((4, None)), (2, 3, 9, 8)),
    "flatten": (lambda nn: nn.Flatten(), (2, 3, 4)),
    "identity": (lambda nn: nn.Identity(3), (2, 3)),
    "dropout-off": (lambda nn: nn.Dropout(0.0), (2, 3)),
    "sequential": (
        lambda nn: nn.Sequential(
            nn.Conv2d(3, 4, 3, bias=False),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(16, 3),
        ),
        (4, 3, 6, 6),
    ),
}


def layers_of_both(name: str) -> tuple[Any, Any, Any]:
    """PyTorch, its layer and gradcli's, each made after seeding with the same seed."""
    torch = pytest.importorskip("torch")
    make, _ = LAYERS[name]
    torch.manual_seed(7)
    gradcli.manual_seed(7)
    return torch, make(torch.nn), make(gradcli.nn)


@pytest.mark.parametrize("name", LAYERS)
def test_text(name):
    _, theirs, ours = layers_of_both(name)
    # Recent PyTorch adds to a batch norm's text that it has a bias; the tutorial's print is older.
    assert repr(ours) == re.sub(r"(affine=\w+), bias=\w+", r"\1", repr(theirs))


@pytest.mark.parametrize("name", LAYERS)
def test_initial_values_and_the_draws_after_them(name):
    torch, theirs, ours = layers_of_both(name)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for key, expected in theirs.state_dict().items():
        found = ours.state_dict()[key]
        assert str(found.dtype) == str(expected.dtype)
        np.testing.assert_array_equal(found.numpy(), expected.numpy(), err_msg=key)
    np.testing.assert_array_equal(gradcli.rand(4).numpy(), torch.rand(4).numpy())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("name", LAYERS)
def test_two_passes_with_gradients(name, training, dtype):
    torch, theirs, ours = layers_of_both(name)
    theirs.train(training)
    ours.train(training)
    if dtype == np.float64:
        theirs.double()
        for tensor in [*ours.parameters(), *ours.buffers()]:
            if tensor.is_floating_point():
                tensor.data = gradcli.from_numpy(tensor.array.astype(dtype))
    generator = np.random.default_rng(0)
    for _ in range(2):
        values = generator.normal(size=LAYERS[name][1]).astype(dtype)
        found, expected = [], []
        for library, layer, results in ((gradcli, ours, found), (torch, theirs, expected)):
            input = library.from_numpy(values.copy()).requires_grad_()
            output = layer(input)
            layer.zero_grad()
            # A sum with weights of its own: of a batch norm's squares it would have no gradient but rounding.
            weights = np.random.default_rng(1).normal(size=tuple(output.shape)).astype(dtype)
            (output * library.from_numpy(weights)).sum().backward()
            results += [output.detach(), input.grad, *(parameter.grad for parameter in layer.parameters())]
        for ours_now, theirs_now in zip(found, expected, strict=True):
            scale = float(theirs_now.abs().max()) or 1.0
            np.testing.assert_allclose(
                ours_now.numpy() / scale, theirs_now.numpy() / scale, atol=5e-6 if dtype == np.float32 else 1e-13
            )
    for key, expected_value in theirs.state_dict().items():
        np.testing.assert_allclose(
            ours.state_dict()[key].numpy(), expected_value.numpy(), rtol=1e-6, atol=1e-7, err_msg=key
        )


@pytest.mark.parametrize("shape", [(3, 5), (40, 20), (8, 3, 3, 3)])
@pytest.mark.parametrize(
    ("function", "options"),
    [
        ("uniform_", {}),
        ("uniform_", {"a": -2, "b": 3}),
        ("normal_", {}),
        ("normal_", {"mean": 1.5, "std": 0.2}),
        ("constant_", {"val": 0.1}),
        ("kaiming_uniform_", {}),
        ("kaiming_uniform_", {"a": 5**0.5}),
        ("kaiming_uniform_", {"mode": "fan_out", "nonlinearity": "tanh"}),
        ("kaiming_normal_", {"mode": "fan_out", "nonlinearity": "relu"}),
    ],
)
def test_init_functions(function, options, shape):
    torch = pytest.importorskip("torch")
    torch.manual_seed(3)
    gradcli.manual_seed(3)
    expected = getattr(torch.nn.init, function)(torch.empty(shape), **options).numpy()
    found = getattr(gradcli.nn.init, function)(gradcli.empty(shape), **options).numpy()
    if "normal" in function:  # logarithm, cosine and root of two libraries
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=4e-7 * np.abs(expected).max())
    else:
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(gradcli.rand(4).numpy(), torch.rand(4).numpy())


@pytest.mark.parametrize(
    ("name", "options", "target"),
    [
        ("CrossEntropyLoss", {}, "classes"),
        ("CrossEntropyLoss", {"weight": True, "ignore_index": 3, "label_smoothing": 0.1}, "classes"),
        ("CrossEntropyLoss", {"reduction": "sum"}, "probabilities"),
        ("NLLLoss", {"weight": True, "ignore_index": 1}, "classes"),
        ("MSELoss", {}, "probabilities"),
        ("SmoothL1Loss", {"beta": 0.5, "reduction": "sum"}, "probabilities"),
        ("BCEWithLogitsLoss", {"pos_weight": True, "weight": True}, "probabilities"),
    ],
)
def test_losses(name, options, target):
    torch = pytest.importorskip("torch")
    generator = np.random.default_rng(1)
    prediction = generator.normal(size=(6, 5)).astype(np.float32)
    weight = np.linspace(0.5, 2, 5, dtype=np.float32)
    targets = generator.integers(0, 5, 6) if target == "classes" else generator.random((6, 5), np.float32)
    results = []
    for library in (gradcli, torch):
        settings = {key: library.from_numpy(weight) if value is True else value for key, value in options.items()}
        input = library.from_numpy(prediction.copy()).requires_grad_()
        loss = getattr(library.nn, name)(**settings)(input, library.from_numpy(targets))
        loss.backward()
        results.append((loss.item(), input.grad.numpy()))
    (found, found_grad), (expected, expected_grad) = results
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-7)
    np.testing.assert_allclose(found_grad, expected_grad, rtol=1e-5, atol=1e-7)
