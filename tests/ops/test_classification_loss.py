"""Negative log-likelihood and cross-entropy: every option, shape and reduction, gradients, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from operation_cases import Case, Refusal, checks_of, fixed, integers, real, refusal_checks_of

import gradcli
from gradcli.nn import functional

REDUCTIONS = {"mean": np.mean, "sum": np.sum, "none": np.asarray}
COMPOSED = "PyTorch scales the parts in another order"
NUMBERS = "PyTorch's kernel smooths with numbers, which gives its nodes other names"


def log_softmax(x, dim=1):
    return x - np.log(np.exp(x).sum(dim, keepdims=True))


def softmax_of(*shape):
    """Rows of probabilities over dim 1, or dim 0 of a single item."""
    dim = 0 if len(shape) == 1 else 1
    return lambda generator: np.exp(log_softmax(generator.standard_normal(shape), dim))


WEIGHT = [0.5, 2.0, 1.5, 0.25]
#     name, input shape, target shape
CLASS_SHAPES = [
    ("rows", (5, 4), (5,)),
    ("one item", (4,), ()),
    ("sequences", (3, 4, 2), (3, 2)),
    ("images", (2, 4, 3, 2), (2, 3, 2)),
    ("no rows", (0, 4), (0,)),
]
CLASS_OPTIONS = [
    ("", {}),
    ("weighted", {"weight": WEIGHT}),
    ("ignoring", {"ignore_index": 1}),
    ("smoothed", {"label_smoothing": 0.2}),
    ("smoothed weighted", {"label_smoothing": 0.3, "weight": WEIGHT}),
    ("smoothed ignoring weighted", {"label_smoothing": 0.3, "weight": WEIGHT, "ignore_index": 2}),
    ("fully smoothed", {"label_smoothing": 1.0}),
]


def with_weight(options, like, torch):
    """The options with the class weights as a tensor of the type of `like`."""
    return options if "weight" not in options else options | {"weight": torch.tensor(WEIGHT, dtype=like.dtype)}


def class_losses(log_probabilities, target, reduction, weight=None, ignore_index=-100, label_smoothing=0.0):
    """The definition, one item after the other."""
    dim = 0 if log_probabilities.ndim == 1 else 1
    rows = np.moveaxis(log_probabilities, dim, -1).reshape(-1, 4)
    weights = np.ones(4) if weight is None else np.array(weight)
    losses, divisor = [], 0.0
    for row, label in zip(rows, np.ravel(target), strict=True):
        if label == ignore_index:
            losses.append(0.0)
            continue
        exact, uniform = -weights[label] * row[label], -(weights * row).sum() / 4
        losses.append((1 - label_smoothing) * exact + label_smoothing * uniform)
        divisor += weights[label]
    if reduction == "none":
        return np.reshape(losses, np.shape(target))
    return np.sum(losses) / divisor if reduction == "mean" else np.sum(losses)


CASES = [
    *[
        Case(
            f"cross_entropy {shapes[0]} {name} {reduction}",
            lambda torch, x, y, o=options, r=reduction: torch.nn.functional.cross_entropy(
                x, y, reduction=r, **with_weight(o, x, torch)
            ),
            real(*shapes[1]),
            integers(4, *shapes[2]) if shapes[2] else fixed(3, np.int64),
            expected=lambda x, y, o=options, r=reduction: class_losses(
                log_softmax(x, 0 if x.ndim == 1 else 1), y, r, **o
            ),
            graph_differs=COMPOSED if "label_smoothing" in options else None,
        )
        for shapes in CLASS_SHAPES
        for name, options in CLASS_OPTIONS
        for reduction in REDUCTIONS
        if not (shapes[0] == "no rows" and reduction == "mean")
    ],
    *[
        Case(
            f"nll_loss {shapes[0]} {name} {reduction}",
            lambda torch, x, y, o=options, r=reduction: torch.nn.functional.nll_loss(
                x, y, reduction=r, **with_weight(o, x, torch)
            ),
            real(*shapes[1]),
            integers(4, *shapes[2]) if shapes[2] else fixed(0, np.int64),
            expected=lambda x, y, o=options, r=reduction: class_losses(x, y, r, **o),
        )
        for shapes in CLASS_SHAPES[:-1]
        for name, options in CLASS_OPTIONS[:3]
        for reduction in REDUCTIONS
    ],
    *[
        Case(
            f"cross_entropy probabilities {shape} {name} {reduction}",
            lambda torch, x, y, o=options, r=reduction: torch.nn.functional.cross_entropy(
                x, y, reduction=r, **with_weight(o, x, torch)
            ),
            real(*shape),
            softmax_of(*shape),
            expected=lambda x, y, o=options, r=reduction: soft_losses(x, y, r, **o),
            graph_differs=NUMBERS if "label_smoothing" in options else None,
        )
        for shape in ((5, 4), (4,), (2, 4, 3))
        for name, options in (CLASS_OPTIONS[0], *CLASS_OPTIONS[3:5])
        for reduction in REDUCTIONS
    ],
]


def soft_losses(x, y, reduction, weight=None, label_smoothing=0.0):
    dim = 0 if x.ndim == 1 else 1
    shape = tuple(4 if axis == dim else 1 for axis in range(x.ndim))
    weights = np.ones(shape) if weight is None else np.reshape(weight, shape)
    smoothed = y * (1 - label_smoothing) + label_smoothing / 4
    return REDUCTIONS[reduction](-(log_softmax(x, dim) * smoothed * weights).sum(dim))


def refuse(name, call, error, message, differs=None):
    return Refusal(
        name, lambda torch: call(torch, torch.nn.functional, torch.ones(2, 3)), error, message, differs=differs
    )


REFUSALS = [
    refuse(
        "nll class",
        lambda torch, functions, x: functions.nll_loss(x, torch.tensor([0, 3])),
        IndexError,
        "Target 3 is out of bounds",
    ),
    refuse(
        "nll negative class",
        lambda torch, functions, x: functions.nll_loss(x, torch.tensor([0, -1])),
        IndexError,
        "Target -1",
    ),
    refuse(
        "nll target type",
        lambda torch, functions, x: functions.nll_loss(x, torch.tensor([0.0, 1.0])),
        RuntimeError,
        "target dtype.*float32",
    ),
    refuse(
        "nll batch",
        lambda torch, functions, x: functions.nll_loss(x, torch.tensor([0, 1, 1])),
        ValueError,
        r"\(2\).*\(3\)",
    ),
    refuse(
        "nll one item", lambda torch, functions, x: functions.nll_loss(x[0], torch.tensor([0, 1])), ValueError, "size 1"
    ),
    refuse(
        "nll 0-d", lambda torch, functions, x: functions.nll_loss(x[0, 0], torch.tensor(0)), ValueError, "dimensions"
    ),
    refuse(
        "nll images",
        lambda torch, functions, x: functions.nll_loss(torch.ones(2, 3, 2), torch.tensor([0, 1])),
        RuntimeError,
        r"\[2, 2\].*\[2\]",
    ),
    refuse(
        "nll weight",
        lambda torch, functions, x: functions.nll_loss(x, torch.tensor([0, 1]), torch.ones(4)),
        RuntimeError,
        r"3 classes.*\[4\]",
    ),
    refuse(
        "nll weight type",
        lambda torch, functions, x: functions.nll_loss(x, torch.tensor([0, 1]), torch.ones(3, dtype=torch.float64)),
        RuntimeError,
        "float64",
    ),
    refuse(
        "nll reduction",
        lambda torch, functions, x: functions.nll_loss(x, torch.tensor([0, 1]), reduction="average"),
        ValueError,
        "average",
    ),
    refuse(
        "class",
        lambda torch, functions, x: functions.cross_entropy(x, torch.tensor([0, 3])),
        IndexError,
        "Target 3 is out of bounds",
    ),
    refuse(
        "smoothed class",
        lambda torch, functions, x: functions.cross_entropy(x, torch.tensor([0, 3]), label_smoothing=0.1),
        IndexError,
        "Target 3",
    ),
    refuse(
        "smoothing",
        lambda torch, functions, x: functions.cross_entropy(x, torch.tensor([0, 1]), label_smoothing=1.5),
        RuntimeError,
        "label_smoothing",
    ),
    refuse(
        "negative smoothing",
        lambda torch, functions, x: functions.cross_entropy(x, torch.tensor([0, 1]), label_smoothing=-0.1),
        RuntimeError,
        "label_smoothing",
        differs="PyTorch takes it for none",
    ),
    refuse(
        "probabilities",
        lambda torch, functions, x: functions.cross_entropy(x, torch.ones(2, 4)),
        RuntimeError,
        "shape|size",
    ),
    refuse(
        "probabilities weight",
        lambda torch, functions, x: functions.cross_entropy(x, x, torch.ones(4)),
        RuntimeError,
        r"3 classes.*\[4\]",
    ),
    refuse(
        "probabilities ignored",
        lambda torch, functions, x: functions.cross_entropy(x, x, ignore_index=1),
        RuntimeError,
        "ignore_index",
    ),
    refuse(
        "probabilities reduction",
        lambda torch, functions, x: functions.cross_entropy(x, x, reduction="average"),
        ValueError,
        "average",
    ),
    refuse(
        "cross_entropy type",
        lambda torch, functions, x: functions.cross_entropy(x.to(torch.int64), torch.tensor([0, 1])),
        NotImplementedError,
        "int64",
    ),
    refuse(
        "cross_entropy 0-d",
        lambda torch, functions, x: functions.cross_entropy(x[0, 0], torch.tensor(0)),
        RuntimeError,
        "0-d",
    ),
]


@pytest.mark.parametrize(("check", "case"), checks_of(CASES))
def test_operation(check, case):
    check(case)


@pytest.mark.parametrize(("check", "refusal"), refusal_checks_of(REFUSALS))
def test_refusal(check, refusal):
    check(refusal)


def test_extreme_scores_of_classes():
    x = gradcli.tensor([[1e4, 0.0], [0.0, -1e4]], requires_grad=True)
    losses = functional.cross_entropy(x, gradcli.tensor([1, 0]), reduction="none")
    losses.sum().backward()
    assert losses.tolist() == [1e4, 0.0]
    assert x.grad.tolist() == [[1.0, -1.0], [0.0, 0.0]]


def test_gradient_of_cross_entropy_sums_to_zero_over_the_classes():
    x = gradcli.tensor(np.random.RandomState(0).standard_normal((5, 4)), requires_grad=True)
    functional.cross_entropy(x, gradcli.tensor([0, 3, 1, 1, 2]), label_smoothing=0.1).backward()
    np.testing.assert_allclose(x.grad.array.sum(1), 0, atol=1e-15)


@pytest.mark.parametrize("name", ["nll_loss", "cross_entropy"])
def test_arguments_stand_in_pytorchs_order(name):
    function = getattr(functional, name)
    x, y, weight = gradcli.tensor([[1.0, 2.0], [3.0, 4.0]]), gradcli.tensor([0, 1]), gradcli.tensor([1.0, 2.0])
    by_name = function(x, y, weight=weight, ignore_index=1, reduction="sum")
    assert function(x, y, weight, None, 1, None, "sum").item() == by_name.item()


@pytest.mark.parametrize(
    "call",
    [
        lambda: functional.cross_entropy(gradcli.ones(0, 3), gradcli.zeros(0, dtype=gradcli.int64)),
        lambda: functional.cross_entropy(gradcli.ones(2, 3), gradcli.tensor([-100, -100])),
        lambda: functional.nll_loss(gradcli.ones(2, 3), gradcli.tensor([1, 1]), ignore_index=1),
        lambda: functional.nll_loss(gradcli.ones(2, 3, 0), gradcli.zeros(2, 0, dtype=gradcli.int64)),
        lambda: functional.cross_entropy(gradcli.ones(0, 3), gradcli.ones(0, 3)),
    ],
)
def test_the_mean_of_no_losses_is_nan_without_a_warning(call):
    assert math.isnan(call().item())


def test_targets_of_uint8_are_classes_too():
    x = gradcli.tensor([[1.0, 2.0], [3.0, 1.0]])
    classes = gradcli.tensor([1, 0])
    bytes_ = gradcli.tensor([1, 0], dtype=gradcli.uint8)
    assert functional.cross_entropy(x, bytes_).item() == functional.cross_entropy(x, classes).item()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_batch_of_ignored_targets_has_no_mean_and_no_gradient(smoothing):
    x = gradcli.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    loss = functional.cross_entropy(x, gradcli.tensor([-100, -100]), label_smoothing=smoothing)
    loss.backward()
    assert math.isnan(loss.item())
    assert x.grad.tolist() == [[0, 0], [0, 0]]


def test_class_weights_that_require_gradients_are_refused():
    weight = gradcli.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match="not differentiable with respect to argument 'weight'"):
        functional.cross_entropy(gradcli.ones(1, 2), gradcli.tensor([0]), weight=weight)
