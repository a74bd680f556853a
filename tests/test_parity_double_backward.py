"""Products of a whole ResNet-18's Hessian with a vector, by differentiating its gradients again: PyTorch's in float64.

Batches of two images of 32x32 are the hardest case there is: in train mode the last batch norms see two values a
channel, and nearly all of a gradient cancels there. PyTorch in channels-last memory order then differs from PyTorch in
its default one by 1e-10 to 4e-9, and so does gradcli. In eval mode it is 1e-15.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

import gradcli
from gradcli.models import resnet18

Array = np.ndarray[Any, Any]

SEEDS = (0, 1)
LOSSES = ("cross-entropy", "sum-difference")
ALLOWED_ERROR = {True: 1e-8, False: 1e-12}  # in train mode and in eval mode

pytestmark = pytest.mark.parity


class Batch(NamedTuple):
    data: Array  # (2, 3, 32, 32)
    labels: Array  # (2, 1000)
    classes: Array  # (2,)


def random_batch(seed: int) -> Batch:
    generator = np.random.default_rng(seed)
    return Batch(generator.random((2, 3, 32, 32)), generator.random((2, 1000)), generator.integers(0, 1000, 2))


def networks(seed: int, *, training: bool) -> list[tuple[Any, Any]]:
    """A framework and its network, PyTorch's first; both with equal weights and lively batch norms, in float64."""
    torch = pytest.importorskip("torch")
    from reference.torch_resnet18 import randomize_batch_norm
    from reference.torch_resnet18 import resnet18 as torch_resnet18

    torch.manual_seed(seed)
    reference = torch_resnet18()
    randomize_batch_norm(reference, seed)
    reference.double().train(training)
    ours = resnet18().to(gradcli.float64).train(training)
    ours.load_state_dict({name: tensor.numpy() for name, tensor in reference.state_dict().items()})
    return [(torch, reference), (gradcli, ours)]


def hessian_products(
    framework: Any, model: Any, loss_name: str, batch: Batch, vectors: list[Array]
) -> dict[str, Array]:
    """The product of the Hessian with one vector, by parameter."""
    prediction = model(framework.from_numpy(batch.data))
    if loss_name == "sum-difference":
        loss = (prediction - framework.from_numpy(batch.labels)).sum()
    else:
        loss = framework.nn.functional.cross_entropy(prediction, framework.from_numpy(batch.classes))
    names, parameters = zip(*model.named_parameters(), strict=True)
    gradients = framework.autograd.grad(loss, parameters, create_graph=True)
    along = sum(
        (gradient * framework.from_numpy(vector)).sum()
        for gradient, vector in zip(gradients, vectors, strict=True)
        if gradient.requires_grad  # that of a bias of the head does not where the loss is a plain sum
    )
    products = framework.autograd.grad(along, parameters, allow_unused=True, materialize_grads=True)
    return {name: product.numpy() for name, product in zip(names, products, strict=True)}


@pytest.mark.parametrize("loss_name", LOSSES)
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_hessian_vector_products(training: bool, loss_name: str) -> None:
    for seed in SEEDS:
        both, batch = networks(seed, training=training), random_batch(seed)
        generator = np.random.default_rng(100 + seed)
        vectors = [generator.standard_normal(parameter.shape) for parameter in both[0][1].parameters()]
        expected, ours = (hessian_products(*network, loss_name, batch, vectors) for network in both)
        assert list(ours) == list(expected)
        assert len(ours) == 62
        for name, product in ours.items():
            assert product.dtype == np.float64
            if loss_name == "sum-difference" and name == "fc.bias":
                assert not product.any()
                assert not expected[name].any()
                continue
            error = np.linalg.norm(product - expected[name]) / np.linalg.norm(expected[name])
            assert error < ALLOWED_ERROR[training], (seed, name, error)


def test_backward_with_create_graph_adds_products_to_grad() -> None:
    """The squared norm of the gradient, as in gradient penalties: `backward` twice, and what arrives in `grad`."""
    batch, found = random_batch(7), []
    for framework, model in networks(7, training=False):
        prediction = model(framework.from_numpy(batch.data))
        loss = framework.nn.functional.cross_entropy(prediction, framework.from_numpy(batch.classes))
        gradients = framework.autograd.grad(loss, list(model.parameters()), create_graph=True)
        penalty = sum((gradient * gradient).sum() for gradient in gradients)
        (loss + 0.1 * penalty).backward()
        found.append({name: parameter.grad.numpy() for name, parameter in model.named_parameters()})
    expected, ours = found
    assert list(ours) == list(expected)
    for name, gradient in ours.items():
        error = np.linalg.norm(gradient - expected[name]) / np.linalg.norm(expected[name])
        assert error < ALLOWED_ERROR[False], (name, error)
