"""Where a model is cut, and what the two parts compute."""

from __future__ import annotations

import numpy as np
import pytest
from finetuning_runs import UP_TO_LAYER3
from prefix_features import cut_of, frozen_model

import gradcli
from gradcli.autograd import Tensor
from gradcli.data.digits import open_digits
from gradcli.data.preprocessing import Preprocessing
from gradcli.kernels.policy import Kernels, using_kernels
from gradcli.models import ResNet
from gradcli.models.resnet import build_resnet18
from gradcli.nn import init
from gradcli.nn.functional import cross_entropy
from gradcli.training.batch_norms import set_mode
from gradcli.training.freezing import FreezeRule, apply_freeze_rules
from gradcli.training.frozen_prefix import cut_before_classifier, cut_model


@pytest.fixture
def model() -> ResNet:
    with init.no_values():
        return build_resnet18(10)


@pytest.mark.parametrize(
    ("rules", "mode", "stage"),
    [
        ([], None, None),
        ([], "eval", None),
        ([("freeze-backbone", "")], None, "fc"),
        ([("freeze-backbone", "")], "eval", "fc"),
        ([("freeze-backbone", "")], "train", None),  # statistics of the first batch norm move
        ([("freeze", "*")], None, "fc"),
        (UP_TO_LAYER3, None, "layer4.0"),
        (UP_TO_LAYER3[:2], None, "layer1.0"),
        (UP_TO_LAYER3[:1], None, None),
        (UP_TO_LAYER3[2:], None, None),  # what comes before trains
        ([("freeze-backbone", ""), ("unfreeze", "layer2.1.bn2.bias")], None, "layer2.1"),
        ([("freeze-backbone", ""), ("unfreeze", "layer4.1.conv1.weight")], "eval", "layer4.1"),
    ],
)
def test_the_cut_comes_before_the_first_stage_that_changes(
    rules: list[FreezeRule], mode: str | None, stage: str | None, model: ResNet
) -> None:
    apply_freeze_rules(model, rules)
    set_mode(model, mode)  # type: ignore[arg-type]
    cut = cut_model(model)
    assert (None if cut is None else cut.stage) == stage


@pytest.mark.parametrize(
    ("rules", "size", "shape"),
    [
        ([("freeze-backbone", "")], (32, 48), (512,)),
        (UP_TO_LAYER3, (64, 96), (256, 4, 6)),
        (UP_TO_LAYER3[:2], (32, 32), (64, 8, 8)),
    ],
)
def test_shape_of_features(
    rules: list[FreezeRule], size: tuple[int, int], shape: tuple[int, ...], model: ResNet
) -> None:
    apply_freeze_rules(model, rules)
    set_mode(model, None)
    cut = cut_model(model)
    assert cut is not None
    assert cut.feature_shape(size) == shape


@pytest.mark.parametrize("rules", [[("freeze-backbone", "")], UP_TO_LAYER3])
def test_gradients_are_those_of_the_whole_model_and_end_at_the_cut(rules: list[FreezeRule]) -> None:
    model = frozen_model(rules)
    cut = cut_of(model)
    images, labels = gradcli.rand(4, 3, 64, 64), Tensor(np.arange(4))
    state = {name: tensor.array.copy() for name, tensor in model.state_dict().items()}
    cross_entropy(model(images), labels).backward()
    expected = {name: parameter.grad.array for name, parameter in model.named_parameters() if parameter.requires_grad}
    model.load_state_dict(state)
    model.zero_grad()
    features = cut.prefix(images)
    assert not features.requires_grad
    cross_entropy(cut.rest(features), labels).backward()
    found = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        np.testing.assert_allclose(found[name].array, gradient, rtol=0, atol=2e-6 * np.abs(gradient).max())
    for name, array in cut.prefix_state().items():
        np.testing.assert_array_equal(array, state[name])


def test_the_prefix_state_is_shared_with_the_model(model: ResNet) -> None:
    apply_freeze_rules(model, [("freeze-backbone", "")])
    set_mode(model, None)
    cut = cut_model(model)
    assert cut is not None
    state = cut.prefix_state()
    assert list(state) == [name for name in model.state_dict() if not name.startswith("fc.")]
    assert state["conv1.weight"] is model.conv1.weight.array


def test_cutting_before_the_classifier_needs_nothing_frozen(model: ResNet) -> None:
    cut = cut_before_classifier(model)
    assert cut.stage == "fc"
    assert not any(module.training for module in model.modules())
    assert not cut.prefix(gradcli.rand(2, 3, 32, 32)).requires_grad


@pytest.mark.parametrize("kernels", ["exact", "fast"])
@pytest.mark.parametrize("size", [32, 64])
def test_an_images_features_depend_on_the_number_of_images_at_most(size: int, kernels: Kernels) -> None:
    cut = cut_of(frozen_model())
    images = open_digits(Preprocessing.straight(size)).images(np.arange(96))
    order = np.random.default_rng(0).permutation(32)
    with using_kernels(kernels):
        together = cut.prefix(Tensor(images[:32])).array
        np.testing.assert_array_equal(cut.prefix(Tensor(images[:32][order])).array, together[order])
        with_others = cut.prefix(Tensor(np.concatenate([images[:8], images[40:64]]))).array
        np.testing.assert_array_equal(with_others[:8], together[:8])
        for count in (1, 5, 64, 96):
            found = cut.prefix(Tensor(images[:count])).array[:32]
            np.testing.assert_allclose(found, together[:count], rtol=0, atol=2e-6 * np.abs(together).max())
