"""Where NaN and infinity begin, in passes of a small network whose numbers are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from small_network import small_pass

from gradcli.autograd import Tensor, is_anomaly_enabled
from gradcli.errors import DivergedError
from gradcli.inspection.non_finite.injection import Injection, parse_injection
from gradcli.inspection.non_finite.records import TensorRecord, tensor_record
from gradcli.inspection.non_finite.trace import Trace, trace_pass
from gradcli.training.passes import Pass


def traced(run: Pass, *injections: str) -> Trace:
    return trace_pass(run, [parse_injection(text) for text in injections])


def of_role(trace: Trace, phase: str, role: str) -> list[TensorRecord]:
    return [record for record in trace.records if (record.phase, record.role) == (phase, role)]


def test_a_finite_pass_has_no_records() -> None:
    trace = traced(small_pass())
    assert trace.finite
    assert (trace.begins, trace.module, trace.operation, trace.records, trace.gradients) == (None, None, None, [], [])
    assert trace.operations > 6
    assert trace.nodes > 6
    assert math.isfinite(trace.loss)
    trace.check()
    assert not is_anomaly_enabled()


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize(
    ("name", "module", "operation"),
    [
        ("input", "conv1", "convolution"),
        ("conv1.weight", "conv1", "convolution"),
        ("bn1.bias", "bn1", "native_batch_norm"),
        ("fc.weight", "fc", "addmm"),
        ("fc.bias", "fc", "addmm"),
    ],
)
def test_what_was_given_and_where_it_is_used(name: str, module: str, operation: str, value: str) -> None:
    trace = traced(small_pass(), f"{name}={value}")
    assert (trace.begins, trace.module, trace.operation) == ("given", module, operation)
    (source,) = of_role(trace, "given", "source")
    assert (source.tensor, source.nan, source.inf) == (name, value == "nan", value != "nan")
    inputs = {record.tensor: record for record in of_role(trace, "forward", "input")}
    assert {tensor for tensor, record in inputs.items() if not record.is_finite} == {name}
    with pytest.raises(DivergedError, match=rf"^{name} has 1 .*begins at {operation} in {module}, operation "):
        trace.check()


def test_an_overflow_begins_in_an_operation_with_finite_inputs() -> None:
    run = small_pass()
    run.model.fc.weight.array[2] = 3e38
    trace = traced(run)
    assert (trace.begins, trace.module, trace.operation) == ("forward", "fc", "addmm")
    assert of_role(trace, "given", "source") == []
    bias, features, weight = of_role(trace, "forward", "input")
    assert (bias.tensor, features.tensor, weight.tensor) == ("fc.bias", "mat1", "fc.weight")
    assert weight.max == np.float32(3e38)
    assert features.norm == pytest.approx(np.linalg.norm(run.model.stages()[0].compute(run.data).array))
    (result,) = of_role(trace, "forward", "first")
    assert (result.shape, result.numel, result.nan, result.inf) == ((2, 5), 10, 0, 2)
    assert of_role(trace, "forward", "reached")[-1].module == "loss"
    assert trace.loss == math.inf


def test_statistics_are_of_the_finite_elements() -> None:
    array = np.array([[3.0, np.nan], [-4.0, -np.inf]], np.float32)
    record = tensor_record(array, tensor="x", phase="given", role="source")
    assert (record.nan, record.inf, record.min, record.max, record.norm) == (1, 1, -4.0, 3.0, 5.0)
    assert record.counts() == "1 NaN and 1 infinite of 4"
    assert record.first_nonfinite == (0, 1)
    assert record.describe() == "1 NaN and 1 infinite of 4, first at 0,1"
    assert not record.is_finite
    empty = tensor_record(np.full(3, np.nan), tensor="x", phase="given", role="source")
    assert all(math.isnan(value) for value in (empty.min, empty.max, empty.norm))


@pytest.mark.parametrize(("module", "operation"), [("conv1", "Inject"), ("maxpool", "Inject")])
def test_begins_in_the_module_whose_output_it_was_put_into(module: str, operation: str) -> None:
    trace = traced(small_pass(), f"{module}.output=nan:1")
    assert (trace.begins, trace.module, trace.operation) == ("forward", module, operation)


def test_begins_in_backward_with_a_finite_loss() -> None:
    trace = traced(small_pass(), "maxpool.gradient=inf:3")
    assert (trace.begins, trace.module, trace.operation) == ("backward", "maxpool", "InjectBackward")
    assert math.isfinite(trace.loss)
    (arrived,) = of_role(trace, "backward", "input")
    assert (arrived.tensor, arrived.is_finite) == ("gradient of the result", True)
    assert trace.gradients[-1] == "conv1.weight"
    assert not {"fc.weight", "fc.bias"} & set(trace.gradients)
    with pytest.raises(DivergedError, match=r"begins at InjectBackward in maxpool, operation .* of the backward pass"):
        trace.check()


def test_gradients_reached_are_those_that_backward_leaves() -> None:
    run = small_pass()
    trace = traced(run, "bn1.weight=nan:2")
    left = [
        name
        for name, parameter in run.model.named_parameters()
        if parameter.grad is not None and not np.isfinite(parameter.grad.array).all()
    ]
    assert trace.gradients == left[::-1]
    assert trace.gradients


def test_a_buffer_that_training_only_writes_is_no_source_of_what_follows() -> None:
    trace = traced(small_pass(), "bn1.running_var=nan")
    assert (trace.begins, trace.module) == ("given", None)
    with pytest.raises(DivergedError, match=r"^bn1\.running_var has 1 NaN of 4, first at 0; no operation was reached$"):
        trace.check()
    run = small_pass()
    run.model.eval()
    assert traced(run, "bn1.running_var=nan").module == "bn1"


def test_a_target_that_is_not_finite() -> None:
    run = small_pass()
    run.target = Tensor(np.full((2, 5), np.nan, np.float32))
    trace = traced(run)
    assert (trace.begins, trace.module, trace.operation) == ("given", "loss", "sub")
    assert [record.tensor for record in of_role(trace, "given", "source")] == ["target"]


def test_without_anything_that_trains_only_the_forward_pass_is_traced() -> None:
    run = small_pass()
    run.model.requires_grad_(False)
    trace = trace_pass(run, [Injection("fc.bias", math.nan, (0,))])
    assert (trace.module, trace.nodes, trace.gradients) == ("fc", 0, [])
