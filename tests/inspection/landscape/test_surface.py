"""A landscape: slopes against backward, losses against moved weights, filter normalisation, what stays as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gradcli.checkpoints import save_safetensors
from gradcli.errors import DivergedError, UsageError
from gradcli.inspection.landscape.directions import downhill, random_direction, slope
from gradcli.inspection.landscape.plotting import curves_of, map_of
from gradcli.inspection.landscape.surface import LandscapeSettings, landscape, point_count
from gradcli.models import load_model
from gradcli.models.loading import state_arrays
from gradcli.training.freezing import FreezeRule
from gradcli.training.passes import Pass, PassSettings, prepare, run_forward


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("weights") / "ten.safetensors"
    save_safetensors(path, state_arrays(load_model("random:1", num_classes=10).model))
    return str(path)


def prepared(weights: str, *freeze: FreezeRule, mode: str = "eval") -> Pass:
    settings = PassSettings(
        weights=weights,
        shape=(2, 3, 32, 32),
        loss="cross-entropy",
        mode="train" if mode == "train" else "eval",
        freeze=freeze,
    )
    return prepare(settings)


def test_slopes_are_those_of_the_losses(weights: str) -> None:
    run = prepared(weights, ("freeze-backbone", ""))  # the loss of fc alone is smooth
    found = landscape(run, LandscapeSettings(radius=1e-2, points=3))
    back, centre, forth, left, right = (point.loss for point in found.points)
    assert centre == found.loss
    assert (forth - back) / 2e-2 == pytest.approx(found.slope_gradient, rel=5e-3)
    assert (right - left) / 2e-2 == pytest.approx(found.slope_random, rel=5e-3, abs=1e-3)
    assert found.slope_gradient == pytest.approx(-found.grad_norm * found.length, rel=1e-5)
    assert found.lr_per_distance == pytest.approx(found.length / found.grad_norm)


def test_a_loss_is_that_of_moved_weights_and_all_is_as_before(weights: str) -> None:
    run = prepared(weights, mode="train")
    before = {name: array.copy() for name, array in state_arrays(run.model).items()}
    found = landscape(run, LandscapeSettings(radius=0.1, points=3))
    for name, array in state_arrays(run.model).items():
        np.testing.assert_array_equal(array, before[name])
    assert all(parameter.grad is None for parameter in run.model.parameters())

    # A step of plain SGD that goes 0.1 down the gradient.
    other = prepared(weights, mode="train")
    other.loss(other.forward()).backward()
    for parameter in other.model.parameters():
        parameter.array[...] -= 0.1 * found.lr_per_distance * parameter.grad.array
    _, moved, _ = run_forward(other, with_loss=True)
    assert moved is not None
    assert found.points[2].gradient == 0.1
    assert found.points[2].loss == pytest.approx(moved.item(), rel=1e-3)


def test_a_grid_has_both_directions_and_their_axes_are_the_curves(weights: str) -> None:
    rules: tuple[FreezeRule, ...] = (("freeze-backbone", ""),)
    curves = landscape(prepared(weights, *rules), LandscapeSettings(radius=0.5, points=3))
    settings = LandscapeSettings(radius=0.5, points=3, grid=True)
    grid = landscape(prepared(weights, *rules), settings)
    assert len(grid.points) == point_count(settings) == 9
    losses = map_of(grid)
    random, gradient = curves_of(curves)
    assert list(random.xs) == list(gradient.xs) == [-0.5, 0.0, 0.5]
    np.testing.assert_array_equal(losses[1], gradient.ys)  # without any way in the random direction
    np.testing.assert_array_equal(losses[:, 1], random.ys)


def test_each_filter_of_the_random_direction_is_as_long_as_its_weights(weights: str) -> None:
    run = prepared(weights, ("freeze", "layer1.*"))
    direction = random_direction(run.model)
    parameters = dict(run.model.named_parameters())
    expected = [name for name, each in parameters.items() if each.ndim > 1 and not name.startswith("layer1.")]
    assert list(direction) == expected
    for name in ("conv1.weight", "layer3.0.downsample.0.weight", "fc.weight"):
        lengths = [
            [np.linalg.norm(row) for row in array.reshape(len(array), -1)]
            for array in (direction[name], parameters[name].array)
        ]
        np.testing.assert_allclose(*lengths, rtol=1e-5)


def test_downhill_is_against_the_gradient() -> None:
    gradients = {"a": np.array([3.0, 0.0], np.float32), "b": np.array([[4.0]], np.float32)}
    direction = downhill(gradients, 10.0)
    assert {name: array.tolist() for name, array in direction.items()} == {"a": [-6.0, 0.0], "b": [[-8.0]]}
    assert slope(gradients, direction) == -50.0
    still = downhill({"a": np.zeros(2, np.float32)}, 10.0)
    assert not still["a"].any()


def test_without_weights_that_train_there_is_no_random_direction(weights: str) -> None:
    with pytest.raises(UsageError, match="no random direction"):
        landscape(prepared(weights, ("freeze", "*"), ("unfreeze", "fc.bias")), LandscapeSettings(points=3))


def test_weights_that_are_not_finite_have_no_landscape(tmp_path: Path) -> None:
    state = dict(state_arrays(load_model("random:1", num_classes=10).model))
    state["fc.bias"][3] = np.nan
    save_safetensors(tmp_path / "nan.safetensors", state)
    with pytest.raises(DivergedError, match=r"fc\.bias"):
        landscape(prepared(str(tmp_path / "nan.safetensors")), LandscapeSettings(points=3))


@pytest.mark.parametrize("values", [{"radius": 0.0}, {"radius": np.inf}, {"points": 4}, {"points": 1}])
def test_values_that_make_no_landscape(values: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=f"--{next(iter(values))}"):
        LandscapeSettings(**values)  # type: ignore[arg-type]
