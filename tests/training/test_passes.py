"""A prepared pass: draws in PyTorch's order, targets, frozen statistics, refusals, checks."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradcli.autograd import Tensor
from gradcli.errors import DataError, DivergedError
from gradcli.kernels.policy import Kernels, get_kernels
from gradcli.ops.random import manual_seed, rand, randint
from gradcli.training import passes
from gradcli.training.passes import (
    DEFAULT_SHAPE,
    Pass,
    PassSettings,
    check_finite_loss,
    check_finite_prediction,
    checked_shape,
    prepare,
    run_backward,
    run_forward,
)

Prepare = Callable[..., Pass]


def test_input_and_labels_are_drawn_as_in_the_tutorial(prepared: Prepare) -> None:
    run = prepared(seed=9)
    prediction, loss, _ = run_backward(run)
    manual_seed(9)
    images, labels = rand((2, 3, 32, 32)).array, rand((2, 10)).array
    np.testing.assert_array_equal(run.data.array, images)
    assert run.target is not None
    np.testing.assert_array_equal(run.target.array, labels)
    difference = prediction.array.astype(np.float64) - labels
    assert loss.item() == pytest.approx(difference.sum(), rel=1e-4)
    assert run.names == ["random[0]", "random[1]"]


@pytest.mark.parity
def test_input_and_labels_are_pytorchs_for_the_same_seed(prepared: Prepare) -> None:
    torch = pytest.importorskip("torch")
    run = prepared(seed=3, shape=(1, 3, 64, 64))
    run_forward(run, with_loss=True)
    torch.manual_seed(3)
    np.testing.assert_array_equal(run.data.array, torch.rand(1, 3, 64, 64).numpy())
    assert run.target is not None
    np.testing.assert_array_equal(run.target.array, torch.rand(1, 10).numpy())


def test_random_classes_for_cross_entropy(prepared: Prepare) -> None:
    run = prepared(seed=9, loss="cross-entropy")
    run_forward(run, with_loss=True)
    manual_seed(9)
    rand((2, 3, 32, 32))
    assert run.target is not None
    np.testing.assert_array_equal(run.target.array, randint(0, 10, (2,)).array)


def test_which_random_weights_does_not_change_the_random_input() -> None:
    first, second = (prepare(PassSettings(weights=f"random:{seed}", shape=(1, 3, 8, 8))) for seed in (0, 1))
    np.testing.assert_array_equal(first.data.array, second.data.array)


def test_the_target_stays_the_same_from_step_to_step(prepared: Prepare) -> None:
    run = prepared()
    run_forward(run, with_loss=True)
    target = run.target
    run_forward(run, with_loss=True)
    assert run.target is target


def test_a_target_is_read_before_the_pass(prepared: Prepare, tmp_path: Path) -> None:
    path = tmp_path / "target.npy"
    np.save(path, np.full((2, 10), 0.5))
    run = prepared(target=str(path), loss="mse")
    assert run.target is not None
    assert run.target.array.dtype == np.float32
    with pytest.raises(DataError, match="class index 10 is out of range; expected 0 to 9"):
        prepared(target="10", loss="cross-entropy")


def test_forward_records_nothing(prepared: Prepare) -> None:
    prediction, loss, seconds = run_forward(prepared(), with_loss=True)
    assert loss is not None
    assert not prediction.requires_grad
    assert not loss.requires_grad
    assert seconds > 0
    assert run_forward(prepared(), with_loss=False)[1] is None


def test_the_default_mode_leaves_frozen_layers_alone(
    prepared: Prepare, state_bytes: Callable[[Any], dict[str, bytes]], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="gradcli"):
        run = prepared(freeze=[("freeze-backbone", "")])
        before = state_bytes(run.model)
        run_backward(run)
        assert state_bytes(run.model) == before
        assert caplog.messages == []
        run = prepared(freeze=[("freeze-backbone", "")], mode="train")
        run_backward(run)
    assert caplog.messages == ["running statistics of 20 frozen batch norms move in train mode, as in PyTorch"]
    changed = {name for name, value in state_bytes(run.model).items() if value != before[name]}
    assert len(changed) == 60
    assert all(name.endswith(("running_mean", "running_var", "num_batches_tracked")) for name in changed)


def test_gradients_are_those_of_the_trainable_parameters(prepared: Prepare) -> None:
    run = prepared(freeze=[("freeze", "*"), ("unfreeze", "layer4.1.bn2.*")])
    run_backward(run)
    assert list(run.gradients()) == ["layer4.1.bn2.weight", "layer4.1.bn2.bias"]


def test_the_heads_gradient_is_scores_times_features(prepared: Prepare) -> None:
    run = prepared(loss="mse", mode="eval")
    features: list[Any] = []
    run.model.avgpool.register_forward_hook(lambda module, args, result: features.append(result.array))
    prediction, _, _ = run_backward(run)
    assert run.target is not None
    by_score = 2 * (prediction.array.astype(np.float64) - run.target.array) / prediction.array.size
    pooled = features[0].reshape(2, 512).astype(np.float64)
    np.testing.assert_allclose(run.gradients()["fc.weight"], by_score.T @ pooled, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(run.gradients()["fc.bias"], by_score.sum(axis=0), rtol=1e-4, atol=1e-7)


def test_one_small_image_is_refused_in_train_mode_only(prepared: Prepare) -> None:
    with pytest.raises(DataError, match="a batch of 1 image of 32x32 leaves the last batch norms one value"):
        run_backward(prepared(shape=(1, 3, 32, 32)))
    for settings in ({"shape": (1, 3, 33, 33)}, {"shape": (1, 3, 32, 32), "mode": "eval"}):
        assert math.isfinite(run_backward(prepared(**settings))[1].item())


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 1, 64, 64), "--shape 1,1,64,64: the network takes 3 channels, not 1"),
        ((10**6, 3, 10**3, 10**3), "--shape 1000000,3,1000,1000: a pass needs more than 140,000 GB of memory"),
    ],
)
def test_shapes_that_cannot_be(shape: tuple[int, int, int, int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        checked_shape(shape)


def test_shapes_that_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    assert checked_shape(None) == DEFAULT_SHAPE == (1, 3, 64, 64)
    assert checked_shape((8, 3, 224, 96)) == (8, 3, 224, 96)
    monkeypatch.setattr(passes, "_physical_memory", lambda: None)  # a system that does not tell
    assert checked_shape((10**6, 3, 10**3, 10**3)) == (10**6, 3, 10**3, 10**3)


def test_finite_checks_name_what_is_at_fault(prepared: Prepare) -> None:
    run = prepared()
    check_finite_loss(-3.0, run)
    for loss in (math.nan, math.inf, -math.inf):
        with pytest.raises(DivergedError, match=f"the loss is {loss}: the values of .* are too large for float32"):
            check_finite_loss(loss, run)
    scores = np.zeros((3, 4), np.float32)
    check_finite_prediction(Tensor(scores), run)
    scores[2, 1] = np.inf
    run.model.conv1.weight.array[0, 0, :2, 0] = np.nan
    with pytest.raises(
        DivergedError, match=r"image 2 is not finite: 2 of the 9408 values of conv1\.weight \(first at 0,0,0,0\) in .*"
    ):
        check_finite_prediction(Tensor(scores), run)


def test_frozen_batch_norms_are_counted_where_they_keep_their_statistics(prepared: Prepare) -> None:
    backbone = [("freeze-backbone", "")]
    assert prepared().frozen_batch_norms == 0
    assert prepared(freeze=backbone).frozen_batch_norms == 20
    text = prepared(freeze=backbone).describe()
    assert text.endswith("train mode, exact kernels, 20 frozen batch norms keep their statistics")
    assert prepared(freeze=backbone, mode="train").frozen_batch_norms == 0
    assert prepared(freeze=backbone, mode="eval").frozen_batch_norms == 0


@pytest.mark.parametrize("kernels", ["exact", "fast"])
def test_a_pass_runs_on_its_own_kernels_and_leaves_the_processs_alone(kernels: Kernels, prepared: Prepare) -> None:
    run = prepared(kernels=kernels)
    seen = []
    run.model.layer1.register_forward_hook(lambda *_: seen.append(get_kernels()))
    run_forward(run, with_loss=True)
    run_backward(run)
    assert seen == [kernels, kernels]
    assert get_kernels() == "exact"
    assert f", {kernels} kernels" in run.describe()


def test_fast_kernels_agree_with_exact_ones(prepared: Prepare) -> None:
    exact, fast = prepared(shape=(2, 3, 64, 64)), prepared(shape=(2, 3, 64, 64), kernels="fast")
    expected, _, _ = run_forward(exact, with_loss=False)
    found, _, _ = run_forward(fast, with_loss=False)
    np.testing.assert_allclose(found.array, expected.array, rtol=0, atol=1e-4 * float(np.abs(expected.array).max()))
