"""What tensors tell of themselves, and what types reach."""

from __future__ import annotations

import math

import pytest
from operation_cases import Refusal, refusal_checks_of

import gradcli

REFUSALS = [
    Refusal("device of letters", lambda torch: torch.device("cpu:x"), RuntimeError, "cpu:x"),
    Refusal("device with two numbers", lambda torch: torch.device("cpu:0", 1), RuntimeError, "cpu:0"),
    Refusal("limits of integers", lambda torch: torch.finfo(torch.int8), TypeError, "int8"),
    Refusal("limits of floats", lambda torch: torch.iinfo(torch.float32), TypeError, "float32"),
    Refusal("stride of a dim too many", lambda torch: torch.ones(2, 3).stride(2), IndexError, "out of range"),
    Refusal("sum along text", lambda torch: torch.ones(2, 3).sum(dim="x"), TypeError, "str"),
]

ANSWERS = {
    "a device": lambda torch: str(torch.device("cuda" if torch.cuda.is_available() else "cpu")),
    "devices": lambda torch: [torch.device(*at) for at in (("cpu",), ("cuda:1",), ("cuda", 2))],
    "a device of a device": lambda torch: torch.device(torch.device("cpu")) == torch.device("cpu"),
    "devices compared": lambda torch: len({torch.device("cpu"), torch.device("cpu"), torch.device("cpu:0")}),
    "the device of a tensor": lambda torch: (torch.ones(2).device, torch.ones(2).is_cuda),
    "made there": lambda torch: torch.ones(2, device=torch.device("cpu")).to(torch.device("cpu"), torch.float64).dtype,
    "cuda": lambda torch: (torch.cuda.is_available(), torch.cuda.device_count()),
    "strides": lambda torch: (torch.ones(2, 3, 4).stride(), torch.ones(2, 3).t().stride(), torch.ones(2, 3).stride(-2)),
    "contiguous": lambda torch: (torch.ones(2, 3).is_contiguous(), torch.ones(2, 3).t().is_contiguous()),
    "counts": lambda torch: (torch.numel(torch.ones(2, 3)), torch.ones(2, 3).nelement(), torch.ones(2, 3).ndimension()),
    "bytes": lambda torch: [
        (x.element_size(), x.itemsize, x.nbytes) for x in (torch.ones(3), torch.ones(2, dtype=torch.int16))
    ],
    "kinds": lambda torch: (
        torch.is_tensor(torch.ones(1)),
        torch.is_tensor([1.0]),
        torch.is_floating_point(torch.tensor(1)),
    ),
    "float limits": lambda torch: [
        [getattr(torch.finfo(kind), name) for name in ("bits", "eps", "max", "min", "tiny", "smallest_normal", "dtype")]
        for kind in (torch.float16, torch.float32, torch.float64)
    ],
    "default limits": lambda torch: torch.finfo().max,
    "integer limits": lambda torch: [
        [getattr(torch.iinfo(kind), name) for name in ("bits", "max", "min", "dtype")]
        for kind in (torch.uint8, torch.int8, torch.int64)
    ],
    "constants": lambda torch: [torch.pi, torch.e, torch.inf, str(torch.nan)],
    "types": lambda torch: (torch.ones(1).short().dtype, torch.ones(1).type_as(torch.tensor(1)).dtype),
}


@pytest.mark.parametrize(("check", "refusal"), refusal_checks_of(REFUSALS))
def test_refusal(check, refusal):
    check(refusal)


@pytest.mark.parity
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_the_answer_is_pytorchs(answer):
    torch = pytest.importorskip("torch")
    assert repr(answer(gradcli)) == repr(answer(torch))


def test_a_tensor_is_on_the_cpu():
    x = gradcli.ones(2)
    assert x.device == gradcli.device("cpu")
    assert x.cpu() is x
    assert not gradcli.cuda.is_available()


def test_limits_mask_as_the_lowest_number():
    scores = gradcli.ones(3).masked_fill(gradcli.tensor([True, False, False]), gradcli.finfo(gradcli.float32).min)
    assert scores.softmax(0).tolist() == [0.0, 0.5, 0.5]
    assert gradcli.isfinite(scores).all()
    assert gradcli.finfo(gradcli.float64).tiny == math.ldexp(1, -1022)


def test_a_size_in_the_place_of_requires_grad_is_refused():
    with pytest.raises(TypeError, match="there is empty"):
        gradcli.Tensor(2, 3)
