"""Different ways to the same gradients: repeated, in parts, by other kernels, by more threads."""

from __future__ import annotations

import numpy as np

from gradcli.inspection.selftest.subject import Subject, differing, relative_difference
from gradcli.kernels.policy import using_kernels
from gradcli.kernels.threads import get_num_threads, set_num_threads


def changed_by_repetition(subject: Subject) -> int:
    """The same pass gives the same bits."""
    return differing(subject.cross_entropy_gradients(), subject.cross_entropy_gradients())


def accumulated_difference(subject: Subject) -> float:
    """Backward adds to the gradients that are there, so two half batches leave what the whole one does."""
    full = subject.cross_entropy_gradients(mode="eval")
    half = subject.data.shape[0] // 2
    subject.cross_entropy_gradients(mode="eval", images=slice(half))
    return relative_difference(subject.cross_entropy_gradients(mode="eval", images=slice(half, None), add=True), full)


def per_sample_difference(subject: Subject) -> float:
    """In eval mode images don't see each other, so their own gradients sum to the batch's; summed in float64."""
    full = subject.cross_entropy_gradients(mode="eval")
    sums = {name: np.zeros(gradient.shape) for name, gradient in full.items()}
    for index in range(subject.data.shape[0]):
        for name, gradient in subject.cross_entropy_gradients(mode="eval", images=slice(index, index + 1)).items():
            sums[name] += gradient
    return relative_difference(sums, full)


def kernel_difference(subject: Subject) -> float:
    """Fast kernels trade digits for time, up to a promised bound.

    In eval mode: batch norm with the statistics of few values makes any rounding larger, whoever's it is.
    """
    with using_kernels("exact"):
        exact = subject.cross_entropy_gradients(mode="eval")
    with using_kernels("fast"):
        fast = subject.cross_entropy_gradients(mode="eval")
    return relative_difference(fast, exact)


def changed_by_threads(subject: Subject) -> int:
    """No number depends on how many threads computed it."""
    before = get_num_threads()
    try:
        set_num_threads(1)
        alone = subject.cross_entropy_gradients()
        set_num_threads(2)
        return differing(alone, subject.cross_entropy_gradients())
    finally:
        set_num_threads(before)
