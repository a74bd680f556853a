"""Second derivatives of whole networks: against differences of gradients, and that the Hessian is symmetric."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import gradcli
from gradcli.autograd import functional as derivatives
from gradcli.models import resnet18
from gradcli.nn import functional

Array = np.ndarray[Any, Any]

CLASSES = 10


class Network:
    """The loss of a ResNet-18 in float64 as a function of all of its parameters."""

    def __init__(self, training: bool, side: int) -> None:
        gradcli.manual_seed(0)
        self.model = resnet18(num_classes=CLASSES).to(gradcli.float64)
        generator = np.random.default_rng(0)
        with gradcli.no_grad():
            for name, tensor in [*self.model.named_parameters(), *self.model.named_buffers()]:
                if tensor.ndim == 1 and not name.startswith("fc"):
                    around = 0.0 if name.endswith(("bias", "mean")) else 1.0
                    tensor.copy_(gradcli.from_numpy(around + generator.uniform(-0.3, 0.3, tensor.shape)))
        self.model.train(training)
        self.parameters = list(self.model.parameters())
        self.images = gradcli.from_numpy(generator.random((2, 3, side, side)))
        self.targets = gradcli.from_numpy(generator.integers(0, CLASSES, 2))
        self.sides: list[Array] = []  # of each ReLU and max pool in the last pass, which side of its kink it is on
        for module in self.model.modules():
            if type(module).__name__ == "ReLU":
                module.register_forward_hook(lambda module, args, result: self.sides.append(result.array > 0))
            if type(module).__name__ == "MaxPool2d":
                module.register_forward_hook(lambda module, args, result: self.sides.append(largest(args[0])))

    def loss(self) -> Any:
        self.sides.clear()
        return functional.cross_entropy(self.model(self.images), self.targets)

    def gradients(self) -> list[Array]:
        return [gradient.numpy() for gradient in gradcli.autograd.grad(self.loss(), self.parameters)]

    def hessian_product(self, vectors: Sequence[Array]) -> list[Array]:
        gradients = gradcli.autograd.grad(self.loss(), self.parameters, create_graph=True)
        weights = [gradcli.from_numpy(vector) for vector in vectors]
        return [product.numpy() for product in gradcli.autograd.grad(gradients, self.parameters, weights)]

    def move(self, vectors: Sequence[Array], step: float) -> None:
        with gradcli.no_grad():
            for parameter, vector in zip(self.parameters, vectors, strict=True):
                parameter.add_(gradcli.from_numpy(vector), alpha=step)

    def direction(self, seed: int) -> list[Array]:
        """A random vector that moves every parameter by about its own size."""
        generator = np.random.default_rng(seed)
        sizes = [float(np.sqrt(np.mean(np.square(parameter.array)))) for parameter in self.parameters]
        return [
            size * generator.standard_normal(parameter.shape)
            for size, parameter in zip(sizes, self.parameters, strict=True)
        ]


def largest(images: Any) -> Array:
    """Which element each window of ResNet's max pool takes."""
    return functional.max_pool2d(images, 3, 2, 1, return_indices=True)[1].numpy()


def dot(first: Sequence[Array], second: Sequence[Array]) -> float:
    return float(sum((a * b).sum() for a, b in zip(first, second, strict=True)))


# In train mode, images of 64x64 leave the last batch norms eight values a channel: with two, gradients have too few
# digits to take differences of.
SETTINGS = pytest.mark.parametrize(("training", "side"), [(True, 64), (False, 32)], ids=["train", "eval"])


@SETTINGS
def test_hessian_vector_product_of_a_resnet_is_the_difference_of_gradients(training: bool, side: int) -> None:
    network, step = Network(training, side), 3e-8
    direction = network.direction(1)
    product = network.hessian_product(direction)
    sides = list(network.sides)
    ends = []
    for move in (step, -2 * step):
        network.move(direction, move)
        ends.append(network.gradients())
        assert len(sides) == len(network.sides) == 18
        assert all(map(np.array_equal, sides, network.sides))  # no kink on the way
    difference = [(above - below) / (2 * step) for above, below in zip(*ends, strict=True)]
    for name, ours, expected in zip(dict(network.model.named_parameters()), product, difference, strict=True):
        assert np.linalg.norm(ours - expected) < 1e-6 * np.linalg.norm(expected), name


@SETTINGS
def test_hessian_of_a_resnet_is_symmetric(training: bool, side: int) -> None:
    network = Network(training, side)
    first, second = network.direction(1), network.direction(2)
    along_first = dot(second, network.hessian_product(first))
    assert along_first == pytest.approx(dot(first, network.hessian_product(second)), rel=1e-9)
    assert abs(along_first) > 1e-3


# --- products and whole Hessians of a small network -------------------------------------------------------------------


def small_network(framework: Any) -> tuple[Callable[..., Any], list[Array]]:
    """A loss as a function of the parameters of a small convolutional network, and values for these."""
    functional = framework.nn.functional
    generator = np.random.default_rng(4)
    images = framework.from_numpy(generator.standard_normal((3, 2, 6, 6)))
    targets = framework.tensor([0, 2, 1])
    shapes = [(3, 2, 3, 3), (3,), (3,), (4, 3, 3, 3), (4,), (3, 4), (3,)]

    def loss(filters: Any, scale: Any, shift: Any, more_filters: Any, bias: Any, head: Any, head_bias: Any) -> Any:
        features = functional.conv2d(images, filters, padding=1)
        features = functional.batch_norm(features, None, None, scale, shift, training=True)
        features = functional.max_pool2d(functional.relu(features), 2)
        features = functional.gelu(functional.conv2d(features, more_filters, bias, padding=1))
        pooled = framework.flatten(functional.adaptive_avg_pool2d(features, 1), 1)
        return functional.cross_entropy(functional.linear(pooled, head, head_bias), targets)

    return loss, [generator.standard_normal(shape) for shape in shapes]


def random_vectors(like: Sequence[Array], seed: int) -> list[Array]:
    generator = np.random.default_rng(seed)
    return [generator.standard_normal(array.shape) for array in like]


def tensors(framework: Any, arrays: Sequence[Array]) -> tuple[Any, ...]:
    return tuple(framework.from_numpy(array.copy()) for array in arrays)


def test_products_of_a_small_network_are_those_of_its_whole_hessian() -> None:
    loss, values = small_network(gradcli)
    parameters = tensors(gradcli, values)
    blocks = derivatives.hessian(loss, parameters)
    whole = np.block(
        [
            [block.numpy().reshape(row_values.size, -1) for block in row]
            for row, row_values in zip(blocks, values, strict=True)
        ]
    )
    np.testing.assert_allclose(whole, whole.T, atol=1e-12)
    vectors = random_vectors(values, 5)
    expected = whole @ np.concatenate([vector.ravel() for vector in vectors])
    for product_of in (derivatives.hvp, derivatives.vhp):
        value, products = product_of(loss, parameters, tensors(gradcli, vectors))
        assert value.item() == loss(*parameters).item()
        found = np.concatenate([product.numpy().ravel() for product in products])
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)
    assert not any(parameter.requires_grad for parameter in parameters)


def test_jacobian_of_the_gradient_in_forward_mode_gives_the_same_hessian() -> None:
    loss, values = small_network(gradcli)
    fixed, few = tensors(gradcli, values[:4]), tensors(gradcli, values[4:])

    def of_the_last(*parameters: Any) -> Any:
        return loss(*fixed, *parameters)

    backward = derivatives.hessian(of_the_last, few)
    forward = derivatives.hessian(of_the_last, few, outer_jacobian_strategy="forward-mode")
    for row, other_row in zip(backward, forward, strict=True):
        for block, other in zip(row, other_row, strict=True):
            np.testing.assert_allclose(block.numpy(), other.numpy(), atol=1e-13)


@pytest.mark.parity
@pytest.mark.parametrize("name", ["hvp", "vhp"])
def test_parity_of_products_of_a_small_network(name: str) -> None:
    torch = pytest.importorskip("torch")
    found = []
    for framework in (torch, gradcli):
        loss, values = small_network(framework)
        product_of = getattr(framework.autograd.functional, name)
        value, products = product_of(loss, tensors(framework, values), tensors(framework, random_vectors(values, 5)))
        found.append([np.asarray(value), *map(np.asarray, products)])
    for expected, ours in zip(*found, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-9, atol=1e-11)
