"""The code of PyTorch's autograd tutorial, with only its import lines changed, runs and prints what PyTorch prints."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from models.cached_weights import cache_known_weights

import gradcli
from gradcli.models import load_model as load_random
from gradcli.models.loading import state_arrays

IMPORTS = """
import gradcli as torch
from gradcli import nn, optim
from gradcli.models import resnet18, ResNet18_Weights
"""


class Notebook:
    """Runs cells one after the other in one namespace; a cell's last expression is its value, as in a notebook."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {}
        self.run(IMPORTS)

    def run(self, cell: str) -> Any:
        tree = ast.parse(cell)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, "<cell>", "exec"), self.names)
        return None if last is None else eval(compile(ast.Expression(last.value), "<cell>", "eval"), self.names)

    def __getitem__(self, name: str) -> Any:
        return self.names[name]


@pytest.fixture(scope="module")
def downloaded_weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Random weights where the pretrained ones would lie once they are downloaded."""
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("GRADCLI_HOME", "TORCH_HOME"):
            patch.setenv(variable, str(tmp_path_factory.mktemp(variable.lower())))
        cache_known_weights(state_arrays(load_random("random:0").model))
        yield


@pytest.fixture
def notebook(downloaded_weights: None) -> Notebook:
    gradcli.manual_seed(0)
    return Notebook()


def load_model(notebook: Notebook) -> Any:
    """Run the cell that loads the model."""
    notebook.run("model = resnet18(weights=ResNet18_Weights.DEFAULT)")
    return notebook["model"]


# --- a training step --------------------------------------------------------------------------------------------------


def test_one_training_step(notebook):
    model = load_model(notebook)
    assert repr(notebook.run("model")).startswith(
        "ResNet(\n"
        "  (conv1): Conv2d(3, 64, kernel_size=(7, 7), stride=(2, 2), padding=(3, 3), bias=False)\n"
        "  (bn1): BatchNorm2d(64, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)\n"
        "  (relu): ReLU(inplace=True)\n"
        "  (maxpool): MaxPool2d(kernel_size=3, stride=2, padding=1, dilation=1, ceil_mode=False)\n"
        "  (layer1): Sequential(\n"
        "    (0): BasicBlock(\n"
    )
    assert repr(notebook.run("data = torch.rand(1, 3, 64, 64)\ndata.shape")) == "torch.Size([1, 3, 64, 64])"
    assert notebook.run("labels = torch.rand(1, 1000)\nlen(labels[0])") == 1000

    prediction = repr(notebook.run("prediction = model(data)\nprediction"))
    assert prediction.startswith("tensor([[")
    assert prediction.endswith("]],\n       grad_fn=<AddmmBackward0>)")
    assert len(prediction.splitlines()) == 1000 // 5 + 1

    loss = repr(notebook.run("loss = (prediction - labels).sum()\nloss"))
    assert loss.startswith("tensor(")
    assert loss.endswith(", grad_fn=<SumBackward0>)")
    assert notebook.run("type(loss)") is gradcli.Tensor
    assert notebook.run("loss.backward()") is None
    assert all(parameter.grad.shape == parameter.shape for parameter in model.parameters())

    notebook.run("optim = torch.optim.SGD(model.parameters(), lr=1e-2, momentum=0.95)")
    assert repr(notebook.run("optim")) == (
        "SGD (\n"
        "Parameter Group 0\n"
        "    dampening: 0\n"
        "    differentiable: False\n"
        "    foreach: None\n"
        "    fused: None\n"
        "    lr: 0.01\n"
        "    maximize: False\n"
        "    momentum: 0.95\n"
        "    nesterov: False\n"
        "    weight_decay: 0\n"
        ")"
    )
    before = {name: parameter.array.copy() for name, parameter in model.named_parameters()}
    assert notebook.run("optim.step()") is None
    for name, parameter in model.named_parameters():
        expected = before[name] - np.float32(1e-2) * parameter.grad.array
        np.testing.assert_allclose(parameter.array, expected, rtol=1e-6, atol=1e-6, err_msg=name)


def test_random_numbers_are_pytorchs_for_the_same_seed(notebook):
    """The first numbers of `torch.rand` after `torch.manual_seed(0)` on a CPU."""
    assert repr(notebook.run("torch.manual_seed(0)\ntorch.rand(5)")) == (
        "tensor([0.4963, 0.7682, 0.0885, 0.1320, 0.3074])"
    )


# --- vectors with a gradient ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "result", "first_grad", "second_grad"),
    [
        ("[2., 3.]", "[6., 4.]", "[-12.,  65.]", "[36., 81.]", "[-12.,  -8.]"),
        ("[3., 4.]", "[5., 7.]", "[ 56., 143.]", "[ 81., 144.]", "[-10., -14.]"),
    ],
)
def test_differentiation_of_a_vector(notebook, capsys, first, second, result, first_grad, second_grad):
    notebook.run(f"a = torch.tensor({first}, requires_grad=True)\nb = torch.tensor({second}, requires_grad=True)")
    leaves = f"tensor({first}, requires_grad=True), tensor({second}, requires_grad=True)"
    assert repr(notebook.run("a, b")) == f"({leaves})"
    assert repr(notebook.run("Q = 3*a**3 - b**2\nQ")) == f"tensor({result}, grad_fn=<SubBackward0>)"
    notebook.run("external_grad = torch.tensor([1., 1.])\nQ.backward(gradient=external_grad)")
    assert repr(notebook.run("a, b, Q")) == f"({leaves}, tensor({result}, grad_fn=<SubBackward0>))"
    assert repr(notebook.run("a.grad, b.grad")) == f"(tensor({first_grad}), tensor({second_grad}))"
    assert repr(notebook.run("9*a**2")) == f"tensor({first_grad}, grad_fn=<MulBackward0>)"
    assert repr(notebook.run("-2*b")) == f"tensor({second_grad}, grad_fn=<MulBackward0>)"
    notebook.run("print(9*a**2 == a.grad)\nprint(-2*b == b.grad)")
    assert capsys.readouterr().out == "tensor([True, True])\ntensor([True, True])\n"


def test_the_sum_gives_the_same_gradients(notebook):
    notebook.run(
        "a = torch.tensor([2., 3.], requires_grad=True)\n"
        "b = torch.tensor([6., 4.], requires_grad=True)\n"
        "Q = 3*a**3 - b**2\n"
        "Q.sum().backward()"
    )
    assert repr(notebook.run("a.grad, b.grad")) == "(tensor([36., 81.]), tensor([-12.,  -8.]))"


# --- what is recorded -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("quote", ["`", "'"])
def test_one_input_that_requires_gradients_is_enough(notebook, capsys, quote):
    notebook.run(
        "x = torch.rand(5, 5)\n"
        "y = torch.rand(5, 5)\n"
        "z = torch.rand((5, 5), requires_grad=True)\n"
        "a = x + y\n"
        f'print(f"Does {quote}a{quote} require gradients?: {{a.requires_grad}}")\n'
        "b = x + z\n"
        f'print(f"Does {quote}b{quote} require gradients?: {{b.requires_grad}}")\n'
    )
    assert capsys.readouterr().out == (
        f"Does {quote}a{quote} require gradients?: False\nDoes {quote}b{quote} require gradients?: True\n"
    )


def test_a_frozen_backbone_moves_only_the_new_classifier(notebook):
    model = load_model(notebook)
    notebook.run("for param in model.parameters():\n    param.requires_grad = False")
    assert not any(parameter.requires_grad for parameter in model.parameters())
    notebook.run("model.fc = nn.Linear(512, 10)")
    trainable = ["fc.weight", "fc.bias"]
    assert [name for name, parameter in model.named_parameters() if parameter.requires_grad] == trainable
    notebook.run("optimizer = optim.SGD(model.parameters(), lr=1e-2, momentum=0.9)")
    before = {name: parameter.array.copy() for name, parameter in model.named_parameters()}
    notebook.run("model(torch.rand(2, 3, 64, 64)).sum().backward()\noptimizer.step()")
    after = dict(model.named_parameters())
    assert [name for name, parameter in after.items() if parameter.grad is not None] == trainable
    assert [name for name in before if before[name].tobytes() != after[name].array.tobytes()] == trainable


# --- a network of one layer -------------------------------------------------------------------------------------------


@pytest.fixture
def one_layer(notebook) -> Notebook:
    notebook.run(
        "x = torch.ones(5)\n"
        "y = torch.zeros(3)\n"
        "w = torch.randn(5, 3, requires_grad=True)\n"
        "b = torch.randn(3, requires_grad=True)\n"
        "z = torch.matmul(x, w) + b\n"
        "loss = torch.nn.functional.binary_cross_entropy_with_logits(z, y)"
    )
    return notebook


def test_loss_and_nodes_of_one_layer(one_layer):
    loss = repr(one_layer.run("loss"))
    assert loss.startswith("tensor(")
    assert loss.endswith(", grad_fn=<BinaryCrossEntropyWithLogitsBackward0>)")
    assert one_layer.run("z.grad_fn").name() == "AddBackward0"
    assert one_layer.run("loss.grad_fn").name() == "BinaryCrossEntropyWithLogitsBackward0"


def test_gradients_of_one_layer_print_identical_rows(one_layer, capsys):
    one_layer.run("loss.backward()\nprint(w.grad)\nprint(b.grad)")
    printed = capsys.readouterr().out
    logits = one_layer["z"].detach().numpy().astype(np.float64)
    row = ", ".join(f"{value:.4f}" for value in 1 / (1 + np.exp(-logits)) / 3)
    assert printed == "tensor([[" + "],\n        [".join([row] * 5) + f"]])\ntensor([{row}])\n"


def test_tracking_is_switched_off(one_layer):
    assert one_layer.run("with torch.no_grad():\n    z = torch.matmul(x, w)+b\nz.requires_grad") is False
    assert one_layer.run("z = torch.matmul(x, w)+b\nz.requires_grad") is True
    assert one_layer.run("z_det = z.detach()\nz_det.requires_grad") is False


def test_a_chain_of_functions_names_its_nodes(notebook):
    leaf = notebook.run("a = torch.randn(3, 4, requires_grad=True)\na")
    assert repr(leaf).endswith("]], requires_grad=True)")
    assert repr(notebook.run("b = torch.sin(a)\nb")).endswith("]], grad_fn=<SinBackward0>)")
    assert repr(notebook.run("c = 2 * b\nd = c + 1\nd")).endswith("]], grad_fn=<AddBackward0>)")
    assert repr(notebook.run("out = d.sum()\nout")).endswith(", grad_fn=<SumBackward0>)")
    notebook.run("out.backward()")
    np.testing.assert_allclose(leaf.grad.numpy(), 2 * np.cos(leaf.detach().numpy()), rtol=1e-6)


# --- what is true of the tutorial's loss whatever the numbers ---------------------------------------------------------


@pytest.fixture(scope="module")
def gradients() -> Callable[[int, gradcli.Tensor], dict[str, np.ndarray]]:
    """A function from batch size and labels (numbers, or classes for cross-entropy) to all gradients by name."""
    model = gradcli.models.resnet18(weights="random:0")
    state = {name: tensor.array.copy() for name, tensor in model.state_dict().items()}

    def compute(batch: int, labels: gradcli.Tensor) -> dict[str, np.ndarray]:
        model.load_state_dict(state)
        model.zero_grad()
        prediction = model(gradcli.rand(batch, 3, 64, 64, generator=gradcli.Generator(1)))
        if labels.is_floating_point():
            loss = (prediction - labels).sum()
        else:
            loss = gradcli.nn.functional.cross_entropy(prediction, labels)
        loss.backward()
        return {name: parameter.grad.numpy().copy() for name, parameter in model.named_parameters()}

    return compute


@pytest.mark.parametrize("batch", [1, 3])
def test_the_gradient_of_the_last_bias_is_the_batch_size(gradients, batch):
    found = gradients(batch, gradcli.zeros(batch, 1000))
    assert (found["fc.bias"] == batch).all()


@pytest.mark.parametrize("batch", [1, 3])
def test_all_rows_of_the_last_weights_gradient_are_equal(gradients, batch):
    found = gradients(batch, gradcli.zeros(batch, 1000))["fc.weight"]
    assert (found == found[0]).all()
    assert found.any()


def test_labels_change_no_gradient(gradients):
    zeros = gradients(2, gradcli.zeros(2, 1000))
    other = gradients(2, gradcli.randn(2, 1000, generator=gradcli.Generator(2)))
    for name, values in zeros.items():
        assert values.tobytes() == other[name].tobytes(), name


def test_with_cross_entropy_the_last_biass_gradient_sums_to_zero(gradients):
    found = gradients(3, gradcli.tensor([1, 999, 1]))["fc.bias"]
    assert abs(found.sum(dtype=np.float64)) < 1e-6
    assert (found[[1, 999]] < 0).all()
    assert (np.delete(found, [1, 999]) > 0).all()


# --- PyTorch itself ---------------------------------------------------------------------------------------------------

CELLS = [
    "a = torch.tensor([2., 3.], requires_grad=True); b = torch.tensor([6., 4.], requires_grad=True); print(a, b)",
    "Q = 3*a**3 - b**2; print(Q); Q.backward(gradient=torch.tensor([1., 1.])); print(a.grad, b.grad)",
    "print(9*a**2 == a.grad); print(-2*b == b.grad); print(9*a**2, -2*b)",
    "torch.manual_seed(0); data = torch.rand(1, 3, 64, 64); labels = torch.rand(1, 1000); print(data.shape, data)",
    "x = torch.ones(5); y = torch.zeros(3); w = torch.randn(5, 3, requires_grad=True)",
    "b = torch.randn(3, requires_grad=True); z = torch.matmul(x, w) + b; print(w, b, z)",
    "loss = torch.nn.functional.binary_cross_entropy_with_logits(z, y); print(loss); loss.backward()",
    "print(w.grad); print(b.grad); print(z.grad_fn.name(), loss.grad_fn.name())",
    "a = torch.randn(3, 4, requires_grad=True); b = torch.sin(a); d = 2 * b + 1; print(a, b, d, d.sum())",
    "print(torch.rand(5, 5), torch.rand((5, 5), requires_grad=True))",
]


@pytest.mark.parity
def test_pytorch_prints_the_same(capsys):
    pytest.importorskip("torch")
    printed = []
    for imports in ("import torch", IMPORTS):
        names: dict[str, Any] = {}
        exec(imports, names)
        for cell in CELLS:
            exec(cell, names)
        printed.append(capsys.readouterr().out.splitlines())
    assert printed[1] == printed[0]


@pytest.mark.parity
def test_one_step_prints_the_same_prediction_and_loss():
    torch = pytest.importorskip("torch")
    from reference.torch_resnet18 import resnet18 as torch_resnet18

    texts = []
    for library, build in ((torch, torch_resnet18), (gradcli, gradcli.models.resnet18)):
        library.manual_seed(0)
        model = build()
        prediction = model(library.rand(1, 3, 64, 64))
        labels = library.rand(1, 1000)
        loss = (prediction - labels).sum()
        loss.backward()
        library.optim.SGD(model.parameters(), lr=1e-2, momentum=0.9).step()
        texts.append([prediction, labels, loss, model.fc.bias, model.fc.bias.grad])
    for theirs, ours in zip(*texts, strict=True):
        assert ours.grad_fn is None or ours.grad_fn.name() == theirs.grad_fn.name()
        np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-4, atol=1e-4)
