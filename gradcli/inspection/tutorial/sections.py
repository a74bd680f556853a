"""The tutorial's sections: a training step, differentiation, Jacobians, the graph, what is tracked, frozen layers."""

from __future__ import annotations

from gradcli.inspection.tutorial.cells import Cell, Formula, Section

SECTIONS = (
    Section(
        "training-step",
        "One training step of a ResNet-18",
        [
            Cell("""
import gradcli as torch
from gradcli.models import resnet18
torch.manual_seed({seed})
model = resnet18(weights={weights})
data = torch.rand(1, 3, 64, 64)
labels = torch.rand(1, model.fc.out_features)
"""),
            Cell(
                """
features = []
hook = model.fc.register_forward_hook(lambda layer, inputs, output: features.append(inputs[0].detach()))
prediction = model(data)
""",
                shows=["prediction.shape", "prediction.grad_fn.name()"],
            ),
            Cell(
                """
prediction.retain_grad()
loss = (prediction - labels).sum()
loss.backward()
""",
                shows=["loss"],
                formulas=[
                    Formula("prediction.grad", "d(sum(p - l))/dp = 1", "torch.ones(1, model.fc.out_features)"),
                    Formula("model.fc.bias.grad", "1 for each image", "torch.ones(model.fc.out_features)"),
                    Formula(
                        "model.fc.weight.grad",
                        "every row the features that fc got",
                        "torch.ones(model.fc.out_features, 1) @ features[0]",
                    ),
                ],
            ),
            Cell(
                """
optim = torch.optim.SGD(model.parameters(), lr=1e-2, momentum=0.9)
before = {{name: parameter.detach().clone() for name, parameter in model.named_parameters()}}
optim.step()
""",
                formulas=[
                    Formula(
                        "model.conv1.weight",
                        "w - lr * dloss/dw, as the first step has no momentum yet",
                        "before['conv1.weight'] - 1e-2 * model.conv1.weight.grad",
                    ),
                    Formula("model.fc.bias", "w - lr * dloss/dw", "before['fc.bias'] - 1e-2 * model.fc.bias.grad"),
                ],
            ),
        ],
    ),
    Section(
        "differentiation",
        "Differentiation: Q = 3a^3 - b^2",
        [
            Cell(
                """
import gradcli as torch
a = torch.tensor([2., 3.], requires_grad=True)
b = torch.tensor([6., 4.], requires_grad=True)
Q = 3*a**3 - b**2
""",
                shows=["Q"],
            ),
            Cell(
                """
external_grad = torch.tensor([1., 1.])
Q.backward(gradient=external_grad)
""",
                formulas=[
                    Formula("a.grad", "dQ/da = 9a^2", "9*a**2"),
                    Formula("b.grad", "dQ/db = -2b", "-2*b"),
                ],
            ),
            Cell(
                """
a.grad = b.grad = None
Q = 3*a**3 - b**2
Q.sum().backward()
""",
                formulas=[
                    Formula("a.grad", "the same of the sum: 9a^2", "9*a**2"),
                    Formula("b.grad", "the same of the sum: -2b", "-2*b"),
                ],
            ),
        ],
    ),
    Section(
        "vector-jacobian",
        "The product of a vector and the Jacobian",
        [
            Cell(
                """
import gradcli as torch
a = torch.tensor([2., 3.], requires_grad=True)
b = torch.tensor([6., 4.], requires_grad=True)
J = torch.autograd.functional.jacobian(lambda a: 3*a**3 - b**2, a)
""",
                formulas=[Formula("J", "dQ_i/da_j = 9a_i^2 where i = j, else 0", "torch.eye(2) * (9*a**2)")],
            ),
            Cell(
                """
v = torch.tensor([1., 10.])
Q = 3*a**3 - b**2
Q.backward(gradient=v)
""",
                formulas=[
                    Formula("a.grad", "J^T v", "J.T @ v"),
                    Formula("b.grad", "-2b v", "-2*b * v"),
                ],
            ),
            Cell(
                """
a.grad = b.grad = None
l = (v * (3*a**3 - b**2)).sum()
l.backward()
""",
                formulas=[Formula("a.grad", "chain rule: J^T v, as v = dl/dQ", "J.T @ v")],
            ),
        ],
    ),
    Section(
        "graph",
        "The graph that a forward pass records",
        [
            Cell(
                """
import gradcli as torch
a = torch.tensor([2., 3.], requires_grad=True)
b = torch.tensor([6., 4.], requires_grad=True)
cube = a**3
triple = 3*cube
square = b**2
Q = triple - square
nodes = [node for node, _ in Q.grad_fn.next_functions]
""",
                shows=["Q.grad_fn.name()", "[node.name() for node in nodes]"],
                formulas=[
                    Formula(
                        "[node is made.grad_fn for node, made in zip(nodes, [triple, square])]",
                        "Q = triple - square leads to what made these two",
                        "[True, True]",
                    ),
                    Formula(
                        "[a.is_leaf, Q.is_leaf]", "leaves have no grad_fn", "[a.grad_fn is None, Q.grad_fn is None]"
                    ),
                ],
            ),
            Cell(
                """
for tensor in (cube, triple, square):
    tensor.retain_grad()
Q.sum().backward()
""",
                formulas=[
                    Formula("triple.grad", "dQ/dtriple = 1", "torch.ones(2)"),
                    Formula("square.grad", "dQ/dsquare = -1", "-torch.ones(2)"),
                    Formula("cube.grad", "dQ/dcube = 3", "3 * torch.ones(2)"),
                    Formula("a.grad", "dQ/dcube * dcube/da = 3 * 3a^2", "cube.grad * 3*a**2"),
                ],
            ),
        ],
    ),
    Section(
        "requires-grad",
        "Which results require gradients",
        [
            Cell(
                """
import gradcli as torch
torch.manual_seed({seed})
x = torch.rand(5, 5)
y = torch.rand(5, 5)
z = torch.rand((5, 5), requires_grad=True)
a = x + y
b = x + z
""",
                formulas=[
                    Formula("a.requires_grad", "if x or y does", "x.requires_grad or y.requires_grad"),
                    Formula("b.requires_grad", "if x or z does", "x.requires_grad or z.requires_grad"),
                ],
            ),
            Cell(
                """
with torch.no_grad():
    c = x + z
d = b.detach()
""",
                formulas=[
                    Formula("c.requires_grad", "not under no_grad", "False"),
                    Formula("d.requires_grad", "not what was detached", "False"),
                ],
            ),
        ],
    ),
    Section(
        "frozen",
        "Frozen parameters and a new head",
        [
            Cell(
                """
import gradcli as torch
from gradcli import nn, optim
from gradcli.models import resnet18
torch.manual_seed({seed})
model = resnet18(weights={weights})
for param in model.parameters():
    param.requires_grad = False
model.fc = nn.Linear(512, 10)
trainable = [param.numel() for param in model.parameters() if param.requires_grad]
""",
                formulas=[Formula("sum(trainable)", "512 * 10 weights and 10 biases", "512*10 + 10")],
            ),
            Cell(
                """
features = []
hook = model.fc.register_forward_hook(lambda layer, inputs, output: features.append(inputs[0].detach()))
optimizer = optim.SGD(model.parameters(), lr=1e-2, momentum=0.9)
before = {{name: param.detach().clone() for name, param in model.named_parameters()}}
data, target = torch.rand(2, 3, 64, 64), torch.tensor([3, 7])
prediction = model(data)
loss = nn.functional.cross_entropy(prediction, target)
loss.backward()
error = prediction.detach().exp()
error = error / error.sum(1, keepdim=True)
error[torch.arange(2), target] -= 1
""",
                shows=["loss"],
                formulas=[
                    Formula(
                        "sum(param.grad is not None for param in model.parameters())",
                        "of all tensors, fc.weight and fc.bias have gradients",
                        "len([model.fc.weight, model.fc.bias])",
                    ),
                    Formula("model.fc.bias.grad", "mean of softmax(p) - [class is the target]", "error.mean(0)"),
                    Formula("model.fc.weight.grad", "the same times the features", "error.T @ features[0] / 2"),
                ],
            ),
            Cell(
                """
optimizer.step()
moved = [name for name, param in model.named_parameters() if not torch.equal(param, before[name])]
""",
                shows=["moved"],
                formulas=[
                    Formula(
                        "[name in moved for name in before]",
                        "the optimizer has all parameters, and moves those of fc",
                        "[name.startswith('fc.') for name in before]",
                    ),
                    Formula("model.fc.bias", "w - lr * dloss/dw", "before['fc.bias'] - 1e-2 * model.fc.bias.grad"),
                ],
            ),
        ],
    ),
    Section(
        "one-layer",
        "A single layer with binary cross-entropy",
        [
            Cell(
                """
import gradcli as torch
torch.manual_seed({seed})
x = torch.ones(5)
y = torch.zeros(3)
w = torch.randn(5, 3, requires_grad=True)
b = torch.randn(3, requires_grad=True)
z = torch.matmul(x, w) + b
loss = torch.nn.functional.binary_cross_entropy_with_logits(z, y)
loss.backward()
""",
                shows=["loss", "z.grad_fn.name()", "loss.grad_fn.name()"],
                formulas=[
                    Formula("b.grad", "(sigmoid(z) - y) / 3", "(torch.sigmoid(z) - y) / 3"),
                    Formula("w.grad", "x (sigmoid(z) - y)^T / 3: equal rows, as x is 1", "torch.outer(x, b.grad)"),
                ],
            ),
        ],
    ),
)
"""In the tutorial's order."""

SECTION_NAMES = tuple(section.name for section in SECTIONS)
