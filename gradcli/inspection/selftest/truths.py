"""What follows from the mathematics of the network and its losses, as numbers that must be zero or nearly so."""

from __future__ import annotations

import numpy as np

from gradcli.autograd import Tensor
from gradcli.inspection.selftest.subject import Subject, differing
from gradcli.training.freezing import apply_freeze_rules

BACKBONE_NUMBERS = 11_176_512
NUMBERS_PER_CLASS = 512 + 1
PARAMETER_TENSORS = 62
STATE_ENTRIES = 122
HEAD = {"fc.weight", "fc.bias"}


def miscounted_parameters(subject: Subject) -> int:
    """By how much the numbers in parameters miss what ResNet-18 has for these classes; 11,689,512 for 1,000."""
    expected = BACKBONE_NUMBERS + NUMBERS_PER_CLASS * subject.model.fc.out_features
    return abs(sum(parameter.numel() for parameter in subject.model.parameters()) - expected)


def miscounted_tensors(subject: Subject) -> int:
    """By how much the numbers of parameters and of entries of the state dict miss ResNet-18's."""
    parameters, state = len(list(subject.model.parameters())), len(subject.model.state_dict())
    return abs(parameters - PARAMETER_TENSORS) + abs(state - STATE_ENTRIES)


def bias_gradient_error(subject: Subject) -> float:
    """The loss sums differences, so its gradient by each score is 1, and that by fc.bias the number of images."""
    return float(np.max(np.abs(subject.gradients()["fc.bias"] - subject.data.shape[0])))


def weight_row_difference(subject: Subject) -> float:
    """For the same reason each row of fc.weight.grad is the sum of the images' features."""
    rows = subject.gradients()["fc.weight"].astype(np.float64)
    return float(np.max(np.abs(rows - rows[0])) / np.max(np.abs(rows)))


def gradients_that_labels_change(subject: Subject) -> int:
    """Labels are subtracted, and a constant has no influence on a derivative."""
    return differing(subject.gradients(), subject.gradients(labels=Tensor(-3 * subject.labels.array)))


def cross_entropy_bias_sum(subject: Subject) -> float:
    """Softmax and target both sum to 1 over the classes, so the differences sum to 0."""
    gradient = subject.cross_entropy_gradients()["fc.bias"].astype(np.float64)
    sizes = float(np.abs(gradient).sum())
    return abs(float(gradient.sum())) / sizes if sizes else 0.0  # one class alone has no gradient at all


def unmoved_in_train_mode(subject: Subject) -> int:
    """A pass in train mode moves mean, variance and count of every batch norm."""
    before = subject.statistics()
    subject.gradients(mode="train")
    after = subject.statistics()
    return sum(any(np.array_equal(*pair) for pair in zip(before[name], after[name], strict=True)) for name in before)


def moved_in_eval_mode(subject: Subject) -> int:
    """A pass in eval mode uses the running statistics and leaves them."""
    before = subject.statistics()
    subject.gradients(mode="eval")
    after = subject.statistics()
    return sum(
        not all(np.array_equal(*pair) for pair in zip(before[name], after[name], strict=True)) for name in before
    )


def gradients_of_frozen(subject: Subject) -> int:
    """With the backbone frozen, fc alone has gradients."""
    apply_freeze_rules(subject.model, [("freeze-backbone", "")])
    return len(subject.gradients().keys() ^ HEAD)
