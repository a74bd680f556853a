"""What modules give in a pass, and the gradients of that, against what stands around them."""

from __future__ import annotations

import numpy as np
import pytest

from gradcli.autograd import Tensor
from gradcli.errors import UsageError
from gradcli.inspection.gradients.activations import collect_activations
from gradcli.inspection.gradients.collection import collect_gradients
from gradcli.training.passes import Pass, PassSettings, prepare

SETTINGS = PassSettings(shape=(2, 3, 32, 32), mode="eval", loss="cross-entropy", target="7")


def test_outputs_and_their_gradients_fit_together() -> None:
    run = prepare(SETTINGS)
    activations = collect_activations(run)
    arrays = activations.arrays
    assert activations.unreached == []
    assert activations.parameters == {}
    assert list(arrays)[:4] == ["conv1", "conv1.grad", "bn1", "bn1.grad"]
    assert {"layer1.0.relu#1", "layer1.0.relu#2", "layer4.0.downsample.1", "fc.grad"} <= arrays.keys()
    assert "layer1.0" not in arrays  # what it gives is its last ReLU's
    np.testing.assert_array_equal(arrays["relu"], np.maximum(arrays["bn1"], 0))
    np.testing.assert_array_equal(arrays["bn1.grad"], arrays["relu.grad"] * (arrays["bn1"] > 0))
    scores = arrays["fc"].astype(np.float64)
    softmax = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(arrays["fc.grad"], (softmax - np.eye(1000)[[7, 7]]) / 2, atol=1e-7)
    assert all(np.any(array) for array in arrays.values())


def test_the_pass_is_the_one_that_is_not_looked_at() -> None:
    plain, looked_at = prepare(SETTINGS), prepare(SETTINGS)
    gradients, activations = collect_gradients(plain), collect_activations(looked_at)
    assert activations.loss == gradients.loss
    bias = activations.arrays["fc.grad"].sum(axis=0)
    np.testing.assert_allclose(bias, gradients.arrays["fc.bias"], rtol=1e-5, atol=1e-8)
    moved = activations.arrays["bn1.grad"].sum(axis=(0, 2, 3))
    np.testing.assert_allclose(moved, gradients.arrays["bn1.bias"], rtol=1e-3, atol=1e-6)


def detached_before_the_head() -> Pass:
    run = prepare(SETTINGS)
    run.model.avgpool.register_forward_hook(lambda module, args, result: result.detach())
    run.model.fc.register_forward_hook(lambda module, args, result: result + Tensor(np.float32(0)) * run.data.sum())
    return run


def test_an_output_that_no_gradient_reaches_is_named() -> None:
    run = detached_before_the_head()
    activations = collect_activations(run)
    assert "conv1.grad" in activations.unreached
    assert "conv1" in activations.arrays


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["fc"], ["fc", "fc.grad"]),
        (["layer1.1.relu"], ["layer1.1.relu#1", "layer1.1.relu#1.grad", "layer1.1.relu#2", "layer1.1.relu#2.grad"]),
        (["layer1.1.relu#2", "avgpool.grad"], ["layer1.1.relu#2", "layer1.1.relu#2.grad", "avgpool.grad"]),
        (["layer4.?.bn1.grad"], ["layer4.0.bn1.grad", "layer4.1.bn1.grad"]),
    ],
)
def test_modules_are_chosen_by_patterns(patterns: list[str], names: list[str]) -> None:
    everything = collect_activations(prepare(SETTINGS)).arrays
    arrays = collect_activations(prepare(SETTINGS), patterns).arrays
    assert list(arrays) == names
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, everything[name])


def test_a_pattern_without_match_is_refused_with_near_ones() -> None:
    message = r"--param 'layer1.1' matches no output of a module; did you mean layer1.1.\*\?"
    with pytest.raises(UsageError, match=message):
        collect_activations(prepare(SETTINGS), ["layer1.1"])


def test_unreached_gradients_are_those_of_chosen_modules() -> None:
    run = detached_before_the_head()
    assert collect_activations(run, ["bn1", "model"]).unreached == ["bn1.grad"]
