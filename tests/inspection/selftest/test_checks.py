"""A self-test: all of it holds, breaks are found, and the model is left as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gradcli.autograd import Tensor
from gradcli.checkpoints import save_safetensors
from gradcli.errors import CheckError, DataError, UsageError
from gradcli.inspection.selftest.checks import CHECKS, SelfCheck, prepare_subject, require_all, run_checks
from gradcli.inspection.selftest.subject import Subject, differing, relative_difference
from gradcli.models import load_model
from gradcli.models.loading import state_arrays
from gradcli.ops.random import manual_seed, rand, randint

SHAPE = (2, 3, 32, 32)
MEASURES = {check.name: check.measure for check in CHECKS}


@pytest.fixture
def subject() -> Subject:
    manual_seed(0)
    return Subject(
        model=load_model("random:1", num_classes=10).model,
        data=rand(SHAPE),
        labels=rand((2, 10)),
        classes=randint(0, 10, (2,)),
    )


def check(name: str, *, ok: bool) -> SelfCheck:
    return SelfCheck(name=name, what="", value=0.5, bound=0.25, ok=ok, seconds=0.0)


def test_everything_holds_and_the_model_is_left_as_it_was(subject: Subject) -> None:
    before = {name: array.copy() for name, array in state_arrays(subject.model).items()}
    checks = list(run_checks(subject))
    assert [each.name for each in checks if not each.ok] == []
    assert [each.name for each in checks] == list(MEASURES)
    require_all(checks)
    for name, array in state_arrays(subject.model).items():
        np.testing.assert_array_equal(array, before[name])
    assert all(parameter.requires_grad and parameter.grad is None for parameter in subject.model.parameters())
    assert subject.model.training


def test_a_gradient_that_is_scaled_on_its_way_is_found(subject: Subject) -> None:
    subject.model.fc.bias.register_hook(lambda gradient: gradient * 1.5)
    assert MEASURES["fc-bias-gradient"](subject) == 1.0


def test_a_batch_norm_that_does_not_move_is_found(subject: Subject) -> None:
    subject.model.layer2[0].bn1.momentum = 0.0
    assert MEASURES["train-mode"](subject) == 1


def test_a_wrong_number_of_parameters_is_found(subject: Subject) -> None:
    subject.model.extra = load_model("random:1", num_classes=3).model.fc
    assert MEASURES["parameters"](subject) == 513 * 3
    assert MEASURES["tensors"](subject) == 4


def test_numbers_that_are_not_finite_agree_with_nothing(tmp_path: Path) -> None:
    state = dict(state_arrays(load_model("random:1", num_classes=10).model))
    state["fc.weight"][0, 0] = np.nan
    save_safetensors(tmp_path / "nan.safetensors", state)
    subject, name = prepare_subject(str(tmp_path / "nan.safetensors"), shape=SHAPE)
    assert name.endswith("nan.safetensors")
    with np.errstate(invalid="ignore"):
        assert np.isnan(MEASURES["cross-entropy"](subject))
        assert np.isnan(MEASURES["accumulated"](subject))
        assert MEASURES["repeated"](subject) > 0


def test_what_the_weights_froze_trains_in_a_self_test(tmp_path: Path) -> None:
    path = tmp_path / "frozen.safetensors"
    state = state_arrays(load_model("random:1", num_classes=10).model)
    save_safetensors(path, state, {"gradcli.frozen": '["conv1.weight"]'})
    subject, _ = prepare_subject(str(path), shape=SHAPE)
    assert all(parameter.requires_grad for parameter in subject.model.parameters())


def test_one_image_is_too_few() -> None:
    with pytest.raises(UsageError, match="take 2 images or more"):
        prepare_subject("random:0", shape=(1, 3, 64, 64))
    with pytest.raises(DataError, match="3 channels"):
        prepare_subject("random:0", shape=(2, 1, 64, 64))


def test_failed_checks_are_named_with_their_numbers() -> None:
    with pytest.raises(CheckError, match=r"^1 of 2 checks failed: threads \(0\.5, at most 0\.25\)$"):
        require_all([check("labels", ok=True), check("threads", ok=False)])


def test_differences_of_gradients() -> None:
    generator = np.random.default_rng(2)
    a, b = ({name: generator.normal(size=(3, 4)).astype(np.float32) for name in "xy"} for _ in range(2))
    together = [np.concatenate([each[name].ravel() for name in "xy"]).astype(np.float64) for each in (a, b)]
    expected = np.linalg.norm(together[0] - together[1]) / np.linalg.norm(together[1])
    assert relative_difference(a, b) == pytest.approx(expected, rel=1e-12)
    assert differing(a, {"x": a["x"], "z": a["y"]}) == 2
    assert differing(a, {"x": a["x"], "y": np.nextafter(a["y"], np.float32(9))}) == 1


def test_labels_replace_the_subjects_own(subject: Subject) -> None:
    other = subject.gradients(labels=Tensor(np.full((2, 10), 7, np.float32)))
    assert differing(other, subject.gradients()) == 0
