"""Several threads at once: whole networks give the bits that they give alone, and are built as they are alone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradcli
from gradcli import nn
from gradcli.checkpoints import save_safetensors
from gradcli.kernels.policy import using_kernels
from gradcli.models import resnet18
from gradcli.nn import functional


def at_once(*tasks: Callable[[], Any]) -> list[Any]:
    """What the tasks return, each run in a thread of its own; they begin together, and an error is raised here."""
    results: list[Any] = [None] * len(tasks)
    errors: list[BaseException] = []
    start = threading.Barrier(len(tasks))

    def run(number: int) -> None:
        try:
            start.wait()
            results[number] = tasks[number]()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(tasks))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results


def passes_of(model: nn.Module, seed: int, count: int) -> list[bytes]:
    """Loss and gradients of each of many passes, which move the running statistics as they go."""
    generator = np.random.default_rng(seed)
    images = gradcli.from_numpy(generator.random((2, 3, 32, 32), np.float32))
    targets = gradcli.from_numpy(generator.integers(0, 10, 2))
    found = []
    for _ in range(count):
        model.zero_grad()
        loss = functional.cross_entropy(model(images), targets)
        loss.backward()
        gradients = [parameter.grad.numpy() for parameter in model.parameters()]
        sums = np.array([[np.abs(gradient).sum(), gradient.ravel()[0], gradient.ravel()[-1]] for gradient in gradients])
        found.append(loss.detach().numpy().tobytes() + sums.tobytes())
        images = images * 0.99 + 0.01 * targets.sum().item()  # every pass has other numbers
    found.append(b"".join(gradient.tobytes() for gradient in gradients))
    return found


@pytest.mark.parametrize(("kernels", "count"), [("exact", 50), ("fast", 15)])
def test_two_resnets_in_two_threads_give_the_bits_of_one_after_the_other(kernels: str, count: int) -> None:
    with using_kernels(kernels):
        alone = [passes_of(resnet18(weights=f"random:{seed}", num_classes=10), seed, count) for seed in (0, 1)]
        models = [resnet18(weights=f"random:{seed}", num_classes=10) for seed in (0, 1)]
        together = at_once(lambda: passes_of(models[0], 0, count), lambda: passes_of(models[1], 1, count))
    for expected, found in zip(alone, together, strict=True):
        assert len(found) == count + 1
        assert found == expected


def test_small_graphs_in_four_threads() -> None:
    """Hooks, views in place, second derivatives: what the engine keeps while it works belongs to its thread."""

    def work(number: int) -> list[Any]:
        found = []
        for repeat in range(100):
            x = gradcli.tensor([number + 0.5, repeat / 7], dtype=gradcli.float64, requires_grad=True)
            y = x * 2
            y[0] *= 3
            y.register_hook(lambda grad: grad + number)
            z = (y.sin() * y).sum()
            (first,) = gradcli.autograd.grad(z, x, create_graph=True)
            (first * first).sum().backward()
            found.append((first.tolist(), x.grad.tolist()))
        return found

    alone = [work(number) for number in range(4)]
    assert at_once(*(lambda number=number: work(number) for number in range(4))) == alone


def test_networks_built_in_two_threads_have_the_values_of_their_seeds_and_files(tmp_path: Path) -> None:
    def state(weights: str) -> dict[str, bytes]:
        return {name: tensor.numpy().tobytes() for name, tensor in resnet18(weights=weights).state_dict().items()}

    file = str(tmp_path / "weights.safetensors")
    save_safetensors(file, {name: tensor.numpy() for name, tensor in resnet18(weights="random:2").state_dict().items()})
    alone = {weights: state(weights) for weights in ("random:0", "random:1", file)}
    gradcli.manual_seed(5)
    expected = gradcli.rand(3).tolist()
    gradcli.manual_seed(5)
    for _ in range(3):
        assert at_once(*(lambda weights=weights: state(weights) for weights in alone)) == list(alone.values())
    assert gradcli.rand(3).tolist() == expected


@pytest.mark.parity
def test_parity_of_modes_in_threads() -> None:
    torch = pytest.importorskip("torch")

    def modes(framework: Any, is_anomaly_enabled: Callable[[], bool]) -> list[Any]:
        found = []

        def record() -> None:
            result = framework.ones(2, requires_grad=True) * 2
            found.append((framework.is_grad_enabled(), result.requires_grad, result.is_inference()))

        for scope in (framework.no_grad, framework.inference_mode):
            with scope():
                record()
                at_once(record)
        with framework.autograd.detect_anomaly(check_nan=False):
            at_once(lambda: found.append(is_anomaly_enabled()))
        return found

    with pytest.warns(UserWarning, match="Anomaly Detection has been enabled"):
        expected = modes(torch, torch.is_anomaly_enabled)
    assert modes(gradcli, gradcli.autograd.is_anomaly_enabled) == expected
