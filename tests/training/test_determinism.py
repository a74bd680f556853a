"""Training gives the same bits from run to run and with any number of threads, with either kernels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import gradcli
from gradcli.kernels.policy import using_kernels
from gradcli.models import resnet18
from gradcli.nn import functional
from gradcli.optim import SGD

THREAD_COUNTS = (1, 2, 3)


@pytest.fixture
def _any_thread_count() -> Iterator[None]:
    before = gradcli.get_num_threads()
    yield
    gradcli.set_num_threads(before)


@pytest.fixture(scope="module")
def model() -> Any:
    return resnet18(weights="random:3")


@pytest.fixture(scope="module")
def initial_state(model: Any) -> dict[str, np.ndarray[Any, Any]]:
    return {name: tensor.numpy().copy() for name, tensor in model.state_dict().items()}


def bytes_of_two_steps(model: Any, state: dict[str, np.ndarray[Any, Any]], batch: int) -> dict[str, bytes]:
    """Predictions, gradients, norms of updates and the whole state of the model, after steps from `state`."""
    model.load_state_dict({name: gradcli.from_numpy(array) for name, array in state.items()})
    optimizer = SGD(model.parameters(), lr=1e-2, momentum=0.9, weight_decay=1e-4)
    generator = np.random.default_rng(batch)
    images = gradcli.from_numpy(generator.random((batch, 3, 64, 64), np.float32))
    classes = gradcli.from_numpy(generator.integers(0, 1000, batch))
    results = {}
    for step in range(2):
        optimizer.zero_grad()
        prediction = model(images)
        functional.cross_entropy(prediction, classes).backward()
        results[f"prediction {step}"] = prediction.detach().numpy().tobytes()
        if step:  # in the step before, nobody looks at the gradients: they may be formed by the update
            for name, parameter in model.named_parameters():
                results[f"gradient of {name}"] = parameter.grad.numpy().tobytes()
        results[f"update {step}"] = float(optimizer.measured_step()).hex().encode()
    for name, tensor in model.state_dict().items():
        results[name] = tensor.numpy().tobytes()
    return results


@pytest.mark.usefixtures("_any_thread_count")
@pytest.mark.parametrize("kernels", ["exact", "fast"])
@pytest.mark.parametrize("batch", [2, 9])
def test_training_steps_of_resnet18(batch: int, kernels: Any, model: Any, initial_state: Any) -> None:
    with using_kernels(kernels):
        expected = bytes_of_two_steps(model, initial_state, batch)
        for count in (gradcli.get_num_threads(), *THREAD_COUNTS):
            gradcli.set_num_threads(count)
            results = bytes_of_two_steps(model, initial_state, batch)
            assert [name for name in expected if results[name] != expected[name]] == [], f"{count} threads"
