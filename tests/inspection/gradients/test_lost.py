"""Why parameters have no gradient of use: planted faults are found, with the place where the gradient got lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradcli import nn, no_grad
from gradcli.autograd import Tensor
from gradcli.errors import UsageError
from gradcli.inspection.gradients.collection import collect_gradients
from gradcli.inspection.gradients.lost import LostGradient, explain_gradients, find_lost_gradients
from gradcli.training.passes import Pass, PassSettings, prepare

INPUT = np.random.default_rng(2).random((4, 3), dtype=np.float32)


class Net(nn.Module):
    """Two branches that are added, behind a first layer: `body` with a ReLU, and `side` without."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.body = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
        self.side = nn.Linear(4, 4)
        self.unused = nn.Linear(2, 2)
        self.auxiliary = nn.Linear(4, 2)
        self.head = nn.Linear(4, 2)
        for parameter in self.parameters():
            parameter.array[...] = np.abs(parameter.array) + 0.1  # every ReLU lets everything through
        self.change: Callable[[Tensor], Any] = lambda x: x

    def forward(self, x: Tensor) -> Any:
        x = self.first(x)
        self.auxiliary(x)
        return self.head(self.change(self.body(x) + self.side(x)))


def lost_in(model: nn.Module, loss: Callable[[Any], Any] = lambda scores: scores.sum()) -> dict[str, LostGradient]:
    found, _ = find_lost_gradients(model, lambda: loss(model(Tensor(INPUT))))
    return {each.name: each for each in found}


def without_gradient(model: nn.Module) -> set[str]:
    """By looking at `grad` alone."""
    return {name for name, each in model.named_parameters() if each.grad is None or not np.any(each.grad.array)}


ALWAYS = {"unused.weight", "unused.bias", "auxiliary.weight", "auxiliary.bias"}


def test_what_the_loss_does_not_depend_on_is_not_reached() -> None:
    model = Net()
    lost = lost_in(model)
    assert set(lost) == without_gradient(model) == ALWAYS
    unused, auxiliary = lost["unused.weight"], lost["auxiliary.bias"]
    assert (unused.reason, unused.stopped_at, unused.path) == ("not-reached", None, ["unused.weight"])
    assert (unused.shape, unused.numel) == ((2, 2), 4)
    assert unused.explanation == "the forward pass does not call unused"
    assert auxiliary.reason == "not-reached"
    assert auxiliary.explanation == "the loss does not depend on what auxiliary gives"


@pytest.mark.parametrize("in_body", [False, True])
def test_frozen_parameters_and_where_backward_ends(in_body: bool) -> None:
    model = Net()
    for name, parameter in model.named_parameters():
        parameter.requires_grad = name.startswith("head") or (in_body and name == "body.2.weight")
    before = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    lost = lost_in(model)
    assert {name: parameter.requires_grad for name, parameter in model.named_parameters()} == before
    assert {each.reason for each in lost.values()} == {"frozen"}
    assert set(lost) == {name for name, trains in before.items() if not trains}
    assert lost["unused.bias"].stopped_at is None
    around = ["model"] if in_body else []  # the addition of both branches, which leads to body.2
    assert lost["side.weight"].path == ["loss", "head", *around, "side", "side.weight"]
    assert lost["side.weight"].stopped_at == (around or ["head"])[0]
    assert lost["body.2.bias"].stopped_at == ("body.2" if in_body else "head")
    assert lost["body.0.weight"].stopped_at == ("body.2" if in_body else "head")
    assert model.first.weight.grad is None
    assert model.head.weight.grad is not None


def test_nothing_is_computed_for_a_model_that_is_all_frozen() -> None:
    model = Net().requires_grad_(False)
    lost = lost_in(model)
    assert {each.reason for each in lost.values()} == {"frozen"}
    assert lost["head.bias"].stopped_at is None
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_dead_relu_takes_the_gradient_from_what_is_below_it_only() -> None:
    model = Net()
    model.body[0].bias.array[...] = -1000
    lost = lost_in(model)
    assert set(lost) == without_gradient(model) == ALWAYS | {"body.0.weight", "body.0.bias", "body.2.weight"}
    for name in ("body.0.weight", "body.0.bias"):
        assert (lost[name].reason, lost[name].stopped_at, lost[name].zeros_begin_at) == (
            "dead-relu",
            "body.1",
            "body.1",
        )
        assert lost[name].explanation.startswith("body.1 gives only zeros: its input is at most -")
        assert lost[name].explanation.endswith(", from body.0")
        assert lost[name].path == ["loss", "head", "body.2", "body.1", "body.0", name]
    after = lost["body.2.weight"]
    assert (after.reason, after.stopped_at, after.zeros_begin_at) == ("zero", "body.2", "body.1")
    assert after.explanation.startswith("the input of body.2 is all zeros; the zeros begin at body.1: its input is at ")
    expected = model.body[0](model.first(Tensor(INPUT))).array.max()
    for each in (lost["body.0.bias"], after):
        assert each.dead_relu is not None
        assert (each.dead_relu.relu, each.dead_relu.input_max) == ("body.1", expected)
        (source,) = each.dead_relu.sources
        assert (source.module, source.max, source.bias_mean, source.weight_mean) == ("body.0", expected, None, None)


def test_when_all_ways_end_at_dead_relus_everything_below_is_theirs() -> None:
    model = Net()
    relu = nn.ReLU()
    model.add_module("last", relu)
    model.change = lambda x: relu(x - 1e6)
    lost = lost_in(model)
    below = {name for name in lost if name.startswith(("first", "body", "side"))}
    assert len(below) == 8
    assert {(lost[name].reason, lost[name].stopped_at) for name in below} == {("dead-relu", "last")}
    assert lost["head.weight"].reason == "zero"
    assert lost["head.weight"].zeros_begin_at == "last"


def test_a_relu_that_is_zero_only_where_a_gradient_arrives_is_dead_to_it() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1))
    model[0].weight.array[...] = [[1, 1, 1], [-1, -1, -1]]
    model[0].bias.array[...] = 0
    model[2].weight.array[...] = [[0, 1]]  # the gradient goes to the unit that gives zeros
    lost = lost_in(model)
    assert set(lost) == {"0.weight", "0.bias"}
    assert lost["0.bias"].reason == "dead-relu"
    assert lost["0.bias"].explanation == "1 gives zero wherever a gradient arrives"
    assert lost["0.bias"].zeros_begin_at is None


def test_weights_that_are_zero_are_named() -> None:
    model = Net()
    model.head.weight.array[...] = 0
    lost = lost_in(model)
    below = {name for name in lost if name.startswith(("first", "body", "side"))}
    assert len(below) == 8
    assert {(lost[name].reason, lost[name].stopped_at, lost[name].explanation) for name in below} == {
        ("zero", "head", "head.weight is all zeros")
    }
    assert "head.weight" not in lost


def test_several_causes_are_told_together() -> None:
    model = Net()
    model.body[0].bias.array[...] = -1000
    model.side.weight.array[...] = 0
    lost = lost_in(model)["first.weight"]
    assert lost.reason == "zero"  # not of the ReLU alone
    assert "body.1 gives only zeros" in lost.explanation
    assert "side.weight is all zeros" in lost.explanation


def test_a_detached_tensor_cuts_off_what_came_before() -> None:
    model = Net()
    model.change = lambda x: x.detach()
    lost = lost_in(model)
    assert lost["body.0.weight"].reason == "not-reached"
    assert lost["body.0.weight"].stopped_at == "head"
    assert lost["body.0.weight"].path == ["loss", "head", "body.0.weight"]
    assert lost["body.0.weight"].explanation.startswith("what head is given has no graph: detached")


def test_layers_that_run_without_recording() -> None:
    model = Net()

    def forward(x: Tensor) -> Any:
        with no_grad():
            x = model.first(x)
        return model.head(model.side(x))

    found, _ = find_lost_gradients(model, lambda: forward(Tensor(INPUT)).sum(), ["first.weight", "side.weight"])
    assert [(each.name, each.explanation) for each in found] == [
        ("first.weight", "first runs without recording, as under no_grad")
    ]


def test_a_loss_without_graph_and_one_whose_gradient_is_zero() -> None:
    lost = lost_in(Net(), lambda scores: scores.detach().sum())
    assert {each.reason for each in lost.values()} == {"not-reached"}
    lost = lost_in(Net(), lambda scores: (scores * 0).sum())
    assert lost["head.weight"].reason == "zero"
    assert (lost["head.weight"].stopped_at, lost["head.weight"].path) == ("loss", ["loss", "head", "head.weight"])


def test_a_gradient_that_is_not_finite_is_of_no_use() -> None:
    lost = lost_in(nn.Sequential(nn.Linear(3, 2)), lambda scores: (scores * float("nan")).sum())
    assert {name: (each.reason, each.stopped_at, each.nonfinite_begins_at) for name, each in lost.items()} == {
        "0.weight": ("nonfinite", "loss", "loss"),
        "0.bias": ("nonfinite", "loss", "loss"),
    }
    assert lost["0.bias"].explanation == "NaN or infinity begin in the loss"


def nan_weight(model: Net) -> None:
    model.body[2].weight.array[1, 2] = np.nan


def overflow_in_side(model: Net) -> None:
    model.side.weight.array[...] = 3e38


def overflow_backward(model: Net) -> None:
    model.head.weight.array[...] = 1e30
    model.side.weight.array[...] = 1e30
    model.first.weight.array[...] = 1e-30
    model.first.bias.array[...] = 1e-30


@pytest.mark.parametrize(
    ("change", "begins_at", "words"),
    [
        (nan_weight, "body.2.weight", "body.2.weight"),
        (overflow_in_side, "side", "what side gives"),
        (overflow_backward, "side", "the gradient that side and body.0 hand on"),
    ],
)
def test_where_nan_and_infinity_begin(change: Callable[[Net], None], begins_at: str, words: str) -> None:
    model = Net()
    change(model)
    with np.errstate(over="ignore", invalid="ignore"):
        lost = lost_in(model)
    found = {name: each for name, each in lost.items() if each.reason == "nonfinite"}
    gradients = {name: each.grad.array for name, each in model.named_parameters() if each.grad is not None}
    assert set(found) == {name for name, array in gradients.items() if not np.isfinite(array).all()} != set()
    assert {each.nonfinite_begins_at for each in found.values()} == {begins_at}
    assert {each.explanation for each in found.values()} == {f"NaN or infinity begin in {words}"}
    assert list(lost)[: len(found)] == list(found)
    first = found["first.weight"]
    assert (first.path[0], first.path[-1]) == ("loss", "first.weight")
    assert first.stopped_at in first.path


@pytest.mark.parametrize(("training", "place"), [(True, "loss"), (False, "0.running_var")])
def test_a_buffer_is_at_fault_in_evaluation_alone(training: bool, place: str) -> None:
    model = nn.Sequential(nn.BatchNorm2d(3)).train(training)
    model[0].running_var.array[1] = np.nan
    images = Tensor(INPUT.reshape(4, 3, 1, 1))
    found, _ = find_lost_gradients(model, lambda: (model(images) * float("inf")).sum())
    assert {each.nonfinite_begins_at for each in found} == {place}


def two_images(**settings: Any) -> Pass:
    return prepare(PassSettings(**({"weights": "random:0", "shape": (2, 3, 32, 32)} | settings)))


FAULTS: dict[str, tuple[Callable[[Any], Any], dict[str, Any]]] = {
    "none": (lambda model: None, {}),
    "dead relu": (lambda model: model.layer1[0].bn1.bias.array.fill(-1e3), {}),
    "frozen backbone": (lambda model: None, {"freeze": [("freeze-backbone", "")]}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_resnet18_has_the_gradients_it_has_without_being_looked_at(fault: str) -> None:
    change, settings = FAULTS[fault]
    looked_at = two_images(**settings)
    change(looked_at.model)
    gradients, lost = explain_gradients(looked_at)
    alone = two_images(**settings)  # now, as it seeds the random target
    change(alone.model)
    expected = collect_gradients(alone)
    assert gradients.loss == expected.loss
    assert list(gradients.arrays) == list(expected.arrays)
    for name, array in expected.arrays.items():
        np.testing.assert_array_equal(gradients.arrays[name], array)
    assert {each.name for each in lost} == without_gradient(alone.model)


def test_the_fault_in_resnet18_is_found() -> None:
    run = two_images()
    run.model.layer2[1].bn2.bias.array[...] = -1e6
    _, lost = explain_gradients(run, ["layer1.*", "layer4.1.bn1.weight"])
    assert {each.name.split(".")[0] for each in lost} == {"layer1", "layer4"}
    assert {(each.reason, each.zeros_begin_at) for each in lost} == {("dead-relu", "layer2.1.relu#2")}
    dead = lost[0].dead_relu
    assert dead is not None
    assert dead.input_max < -9e5
    assert [source.module for source in dead.sources] == ["layer2.1.bn2", "layer2.0.relu#2"]
    bn2, shortcut = dead.sources
    assert (bn2.bias_mean, bn2.weight_mean, shortcut.bias_mean) == (-1e6, 1, None)
    assert bn2.max < -9e5
    assert shortcut.max > 0
    assert lost[0].explanation == (
        "layer4.1.relu#2 gives only zeros; the zeros begin at layer2.1.relu#2: its input is at most -1e+06, from "
        "layer2.1.bn2 (at most -1e+06, bias -1e+06 on average, weight 1) and "
        f"layer2.0.relu#2 (at most {shortcut.max:.3g})"
    )
    path = lost[0].path
    assert (path[:3], path[-1]) == (["loss", "fc", "avgpool"], "layer1.0.conv1.weight")


def test_of_the_parameters_asked_for_only() -> None:
    gradients, lost = explain_gradients(two_images(freeze=[("freeze", "conv1.*")]), ["conv1.weight", "fc.bias"])
    assert list(gradients.arrays) == ["fc.bias"]
    assert [(each.name, each.reason, each.stopped_at) for each in lost] == [("conv1.weight", "frozen", "bn1")]
    with pytest.raises(UsageError, match="--param 'layer9' matches no parameter"):
        explain_gradients(two_images(), ["layer9"])
