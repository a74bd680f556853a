"""Cases of operations, each a row of a table, and what is checked of every one of them.

A case is written once, with PyTorch's names: `Case("sin", lambda torch, x: torch.sin(x), real(2, 3), expected=np.sin)`.
Its function gets gradcli, or PyTorch itself in parity tests, and the inputs as tensors. A test module of a family
holds its table in `CASES`; the completeness test collects them all.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numerical import check_gradients, check_second_gradients, differentiable

import gradcli
import gradcli.nn
from gradcli.autograd import Node, Tensor
from gradcli.autograd.dtypes import Array

Draw = Callable[[np.random.RandomState], Array]
"""What draws an input."""


def real(*shape: int) -> Draw:
    """Standard normal numbers."""
    return lambda generator: np.asarray(generator.standard_normal(shape))


def positive(*shape: int) -> Draw:
    """Numbers in [0.5, 2)."""
    return lambda generator: np.asarray(generator.uniform(0.5, 2.0, shape))


def nonzero(*shape: int) -> Draw:
    """Numbers of both signs, at least 0.5 away from zero."""
    return lambda generator: np.asarray(generator.uniform(0.5, 2.0, shape) * generator.choice([-1.0, 1.0], shape))


def distinct(*shape: int) -> Draw:
    """Numbers of which no two are closer than 0.1, so that none of them ties for the largest."""
    return lambda generator: generator.permutation(np.prod(shape, dtype=int)).reshape(shape) * 0.1


def integers(high: int, *shape: int) -> Draw:
    """int64 numbers from 0 up to, not including, `high`."""
    return lambda generator: np.asarray(generator.randint(0, high, shape), np.int64)


def fixed(values: Any, dtype: Any = np.float64) -> Draw:
    """The values given."""
    return lambda generator: np.array(values, dtype)


def transposed(draw: Draw) -> Draw:
    """The same numbers, seen through a view whose dims are in reverse memory order."""
    return lambda generator: np.asfortranarray(draw(generator))


def strided(draw: Draw) -> Draw:
    """The same numbers, seen through a view that skips every other element of the last dim."""

    def spread(generator: np.random.RandomState) -> Array:
        array = draw(generator)
        return np.repeat(array, 2, axis=-1)[..., ::2]

    return spread


def channels_last(draw: Draw) -> Draw:
    """The same numbers (N, C, H, W), over memory that runs along the channels."""
    return lambda generator: np.ascontiguousarray(draw(generator).transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


class Case:
    """One call of an operation.

    `expected` computes the value from the inputs as arrays, in another way than gradcli does. `differentiable` and
    `twice` say whether the gradient, and its gradient, can be compared with finite differences. `graph_differs` says
    why the recorded graph deliberately isn't PyTorch's.
    """

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        *inputs: Draw,
        expected: Callable[..., Any],
        differentiable: bool = True,
        twice: bool = True,
        graph_differs: str | None = None,
    ) -> None:
        self.name = name
        self.function = function
        self.draws = inputs
        self.expected = expected
        self.differentiable = differentiable
        self.twice = twice
        self.graph_differs = graph_differs

    def __str__(self) -> str:
        return self.name

    def inputs(self, dtype: Any = np.float64) -> list[Array]:
        """The inputs, floats as `dtype`; the same at every call."""
        generator = np.random.RandomState(zlib.crc32(self.name.encode()))
        arrays = [draw(generator) for draw in self.draws]
        return [array.astype(dtype, order="K") if differentiable(array) else array for array in arrays]

    def call(self, *tensors: Any) -> Tensor:
        """The result of gradcli."""
        result: Tensor = self.function(gradcli, *tensors)
        return result

    def recorded(self) -> Tensor:
        """The result of gradcli with every float input requiring gradients."""
        return self.call(*(Tensor(array, requires_grad=differentiable(array)) for array in self.inputs()))


def check_value(case: Case) -> None:
    """The value is the expected one, in double and in single precision; inputs stay as they are."""
    for dtype, tolerance in ((np.float64, 1e-12), (np.float32, 2e-5)):
        inputs = case.inputs(dtype)
        result = case.call(*map(Tensor, inputs)).array
        expected = np.asarray(case.expected(*case.inputs(np.float64)))
        assert type(result) is np.ndarray
        assert result.shape == expected.shape
        assert result.dtype == (dtype if expected.dtype.kind == "f" else expected.dtype)
        np.testing.assert_allclose(result, expected, rtol=tolerance, atol=tolerance)


def check_inputs_untouched(case: Case) -> None:
    """Neither the operation nor its backward writes into its inputs, and every gradient has its input's type."""
    before, inputs = case.inputs(np.float32), case.inputs(np.float32)
    tensors = [Tensor(array, requires_grad=case.differentiable and differentiable(array)) for array in inputs]
    result = case.call(*tensors)
    if case.differentiable:
        result.backward(Tensor(np.ones_like(result.array)))
    for tensor, array, original in zip(tensors, inputs, before, strict=True):
        np.testing.assert_array_equal(array, original)
        if tensor.grad is not None:
            assert (tensor.grad.array.shape, tensor.grad.array.dtype) == (array.shape, array.dtype)


def check_gradient(case: Case) -> None:
    """The gradient is that of finite differences; a result that has none doesn't require any."""
    if case.differentiable:
        check_gradients(case.call, case.inputs())
    else:
        assert not case.recorded().requires_grad


def check_second_gradient(case: Case) -> None:
    """The gradient's own gradient is that of finite differences."""
    check_second_gradients(case.call, case.inputs())


def check_parity(case: Case) -> None:
    """Value, type, shape and gradients are PyTorch's, for the same call with the same inputs."""
    torch = pytest.importorskip("torch")
    for dtype, tolerance in ((np.float64, 1e-10), (np.float32, 1e-4)):
        ours, theirs = case.inputs(dtype), case.inputs(dtype)
        our_tensors = [Tensor(a, requires_grad=case.differentiable and differentiable(a)) for a in ours]
        their_tensors = [torch.from_numpy(a).requires_grad_(case.differentiable and differentiable(a)) for a in theirs]
        our_result, their_result = case.call(*our_tensors), case.function(torch, *their_tensors)
        assert str(our_result.dtype) == str(their_result.dtype)
        assert tuple(our_result.shape) == tuple(their_result.shape)
        np.testing.assert_allclose(our_result.array, their_result.detach().numpy(), rtol=tolerance, atol=tolerance)
        assert our_result.requires_grad == their_result.requires_grad
        if not case.differentiable:
            continue
        weights = np.asarray(np.random.RandomState(0).standard_normal(our_result.shape), our_result.array.dtype)
        our_result.backward(Tensor(weights))
        their_result.backward(torch.from_numpy(weights))
        for our_leaf, their_leaf in zip(our_tensors, their_tensors, strict=True):
            assert (our_leaf.grad is None) == (their_leaf.grad is None)
            if our_leaf.grad is not None:
                assert str(our_leaf.grad.dtype) == str(their_leaf.grad.dtype)
                np.testing.assert_allclose(
                    our_leaf.grad.array, their_leaf.grad.numpy(), rtol=tolerance, atol=10 * tolerance
                )


def check_graph_parity(case: Case) -> None:
    """The recorded graph has PyTorch's nodes, by name, in PyTorch's order."""
    torch = pytest.importorskip("torch")
    theirs = case.function(torch, *(torch.from_numpy(a).requires_grad_(differentiable(a)) for a in case.inputs()))
    ours = graph_of(case.recorded().grad_fn)
    same = ours == graph_of(theirs.grad_fn)
    if case.graph_differs is None:
        assert ours == graph_of(theirs.grad_fn)
    else:
        assert not same, f"the graph no longer differs: {case.graph_differs}"


def graph_of(node: Node | Any | None) -> Any:
    """The graph that leads from `node` to leaves, as nested names and indices: gradcli's or PyTorch's."""
    if node is None:
        return None
    return type(node).__name__, [(graph_of(target), index) for target, index in node.next_functions]


def checks_of(cases: list[Case]) -> list[Any]:
    """What a family's test is parametrised with: every check that has a meaning for a case, with that case."""
    parameters = []
    for case in cases:
        checks = [check_value, check_inputs_untouched, check_gradient]
        if case.differentiable and case.twice:
            checks.append(check_second_gradient)
        parameters += [pytest.param(check, case, id=f"{check.__name__}-{case}") for check in checks]
        parity = [check_parity, check_graph_parity] if case.differentiable else [check_parity]
        parameters += [
            pytest.param(check, case, id=f"{check.__name__}-{case}", marks=pytest.mark.parity) for check in parity
        ]
    return parameters


class Refusal:
    """A call that must be refused with `error` and a message that matches `message`.

    PyTorch refuses it with the same type of error, unless `differs` says why not.
    """

    def __init__(
        self,
        name: str,
        function: Callable[[Any], Any],
        error: type[Exception],
        message: str,
        *,
        differs: str | None = None,
    ) -> None:
        self.name = name
        self.function = function
        self.error = error
        self.message = message
        self.differs = differs

    def __str__(self) -> str:
        return self.name


def written_refusals(rows: list[tuple[str, type[Exception], str]]) -> list[Refusal]:
    """Refusals of calls that are written out, each with the error and what matches its message."""
    return [
        Refusal(call, lambda torch, call=call: eval(call, {"torch": torch, "np": np}), error, message)
        for call, error, message in rows
    ]


def check_refusal(refusal: Refusal) -> None:
    """gradcli raises this type of error, in one line that says what is wrong."""
    with pytest.raises(refusal.error, match=refusal.message) as caught:
        refusal.function(gradcli)
    assert type(caught.value) is refusal.error
    assert "\n" not in str(caught.value)


def check_refusal_parity(refusal: Refusal) -> None:
    """PyTorch raises the same type of error."""
    torch = pytest.importorskip("torch")
    with pytest.raises(refusal.error) as caught:
        refusal.function(torch)
    assert type(caught.value) is refusal.error


def refusal_checks_of(refusals: list[Refusal]) -> list[Any]:
    """What a family's test of refusals is parametrised with."""
    parameters = [pytest.param(check_refusal, refusal, id=str(refusal)) for refusal in refusals]
    return parameters + [
        pytest.param(check_refusal_parity, refusal, id=f"parity-{refusal}", marks=pytest.mark.parity)
        for refusal in refusals
        if refusal.differs is None
    ]
