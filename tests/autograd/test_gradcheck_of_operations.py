"""Every operation passes gradcheck and, where it is differentiable twice, gradgradcheck, in double precision."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest
from numerical import differentiable
from wrong_gradients import real

import gradcli
import gradcli.nn.functional as F
from gradcli.autograd import Tensor
from gradcli.autograd.gradcheck import gradcheck, gradgradcheck

IMAGES, KERNEL, BIAS = real(2, 2, 5, 4), real(3, 2, 3, 2, seed=1), real(3, seed=2)
CHANNELS = [real(2, seed=3), real(2, seed=4)]
MEAN, VARIANCE = Tensor(np.array([0.5, -1.0])), Tensor(np.array([2.0, 0.5]))
CLASSES = Tensor(np.array([2, 0, 1, 2]))
POSITIONS = Tensor(np.array([[0, 2], [1, 1], [2, 0], [0, 0]]))

RIGHT = {
    "sum of squares": (lambda x: (x**2).sum(), real(3, 2)),
    "broadcast product": (lambda a, b: a * b, (real(2, 3), real(3, seed=1))),
    "quotient": (lambda a, b: a / (b * b + 1), (real(2, 3), real(2, 1, seed=1))),
    "matmul": (gradcli.matmul, (real(2, 3, 4), real(4, 2, seed=1))),
    "conv2d": (lambda x, w, b: F.conv2d(x, w, b, stride=(2, 1), padding=1), (IMAGES, KERNEL, BIAS)),
    "batch_norm in training": (lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True), (IMAGES, *CHANNELS)),
    "batch_norm in evaluation": (lambda x, w, b: F.batch_norm(x, MEAN, VARIANCE, w, b), (IMAGES, *CHANNELS)),
    "max_pool2d": (lambda x: F.max_pool2d(x, 2), IMAGES),
    "cross_entropy": (lambda x: F.cross_entropy(x, CLASSES, label_smoothing=0.1), real(4, 3)),
    "log_softmax": (lambda x: F.log_softmax(x, 1), real(4, 3)),
    "gather": (lambda x: x.gather(1, POSITIONS), real(4, 3)),
    "index": (lambda x: x[CLASSES], real(3, 2)),
    "cat": (lambda a, b: gradcli.cat([a, b], 1), (real(2, 1), real(2, 3, seed=1))),
    "several results": (lambda x: x.split(2), real(5, 2)),
    "0-d": (lambda x: x.exp(), real()),
    "transposed": (lambda x: x.exp() @ x, Tensor(np.asfortranarray(np.eye(3) + 0.5), requires_grad=True)),
    "strided": (lambda x: x.exp(), Tensor(np.linspace(-1, 1, 8)[::2], requires_grad=True)),
    "reversed": (lambda x: x.exp().cumsum(0), Tensor(np.linspace(-1, 1, 4)[::-1], requires_grad=True)),
    "not a leaf": (lambda x: x.exp(), real(3) * 2),
    "view of the input": (lambda x: (x[1:], x.t()), real(3, 2)),
    "empty dim": (lambda x: x.sum(0), real(0, 2)),
    "empty result": (lambda x: x[:0], real(3)),
}


@pytest.mark.parametrize("fast_mode", [False, True], ids=["slow", "fast"])
@pytest.mark.parametrize("name", RIGHT)
def test_right_gradients_pass(name, fast_mode):
    function, inputs = RIGHT[name]
    assert gradcheck(function, inputs, fast_mode=fast_mode, check_grad_dtypes=True) is True
    assert gradgradcheck(function, inputs, fast_mode=fast_mode, check_grad_dtypes=True) is True


def collected_cases():
    """Every case of a differentiable operation, by its module and name."""
    for path in sorted((Path(__file__).parents[1] / "ops").glob("test_*.py")):
        if path.stem != "test_completeness":
            for case in getattr(importlib.import_module(f"tests.ops.{path.stem}"), "CASES", []):
                if case.differentiable:
                    yield pytest.param(case, id=f"{path.stem}: {case}")


@pytest.mark.parametrize("case", list(collected_cases()))
def test_every_operation_passes(case):
    """Of every case of every operation, at least along one direction where there are many numbers."""
    inputs = [Tensor(array, requires_grad=differentiable(array)) for array in case.inputs()]
    fast_mode = sum(tensor.numel() for tensor in [*inputs, case.call(*inputs)]) > 150
    assert gradcheck(case.call, inputs, fast_mode=fast_mode)
    if case.twice:
        assert gradgradcheck(case.call, inputs, fast_mode=fast_mode)
