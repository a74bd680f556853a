"""Convolution, batch norm and ReLU in one call: only where nobody can tell, with the same values and errors."""

from __future__ import annotations

import numpy as np
import pytest

import gradcli
from gradcli import nn
from gradcli.autograd import Tensor
from gradcli.deferred import puts_off
from gradcli.kernels.policy import using_kernels
from gradcli.nn import inference
from gradcli.nn.inference import conv_bn, conv_bn_relu, conv_bn_relu_pool


class Block(nn.Module):
    """A residual block of the simplest kind, with a shortcut of its own or without one."""

    def __init__(self, downsample: nn.Module | None = None) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(4)
        self.relu = nn.ReLU()
        self.downsample = downsample
        self.with_relu = True

    @puts_off
    def forward(self, x):
        shortcut = None if self.downsample is None else conv_bn(self.downsample, x)
        return conv_bn_relu(self.conv, self.bn, self.relu if self.with_relu else None, x, shortcut)


def separately(block, x):
    """What the block computes, module by module."""
    out = block.bn(block.conv(x))
    if block.downsample is not None:
        out = out + block.downsample(x)
    return block.relu(out) if block.with_relu else out


def drawn(module):
    """The module in evaluation, every parameter and statistic of its batch norms another number."""
    generator = np.random.default_rng(3)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for tensor in (layer.weight, layer.bias, layer.running_mean, layer.running_var):
                if tensor is not None:
                    tensor.array[...] = generator.uniform(0.5, 1.5, tensor.shape)
    return module.eval()


def shortcut_layers():
    return nn.Sequential(nn.Conv2d(4, 4, 1, bias=False), nn.BatchNorm2d(4))


@pytest.fixture
def x():
    return gradcli.randn(2, 4, 6, 6)


@pytest.fixture
def calls(monkeypatch):
    """How often layers were computed in one call."""
    counted = []
    one_call = inference.conv2d_batch_norm
    monkeypatch.setattr(inference, "conv2d_batch_norm", lambda *args: counted.append(1) or one_call(*args))
    return counted


@pytest.mark.parametrize("with_relu", [False, True])
@pytest.mark.parametrize("with_shortcut", [False, True])
def test_layers_that_nobody_looks_into_are_one_call(with_shortcut, with_relu, x, calls):
    block = drawn(Block(shortcut_layers() if with_shortcut else None))
    block.with_relu = with_relu
    with gradcli.no_grad():
        out, expected = block(x), separately(block, x)
    assert len(calls) == (2 if with_shortcut else 1)
    np.testing.assert_array_equal(out.array, expected.array)
    assert not out.requires_grad
    assert out.grad_fn is None


def test_frozen_layers_are_one_call_with_gradients_enabled(x, calls):
    block = drawn(Block().requires_grad_(False))
    np.testing.assert_array_equal(block(x).array, separately(block, x).array)
    assert calls


def test_values_written_into_the_layers_count_from_the_next_pass_on(x, calls):
    block = drawn(Block(shortcut_layers()))
    with gradcli.no_grad():
        first = block(x).array.copy()
        for tensor in (block.conv.weight, block.bn.running_mean, block.bn.bias, block.downsample[1].running_var):
            tensor.array[...] *= 3
        second, expected = block(x), separately(block, x)
    assert (first != second.array).any()
    np.testing.assert_array_equal(second.array, expected.array)
    assert len(calls) == 4


class OwnConv(nn.Conv2d):
    def forward(self, input):
        return super().forward(input) * 2


class OwnSequential(nn.Sequential):
    def forward(self, input):
        return super().forward(input) * 2


class OwnReLU(nn.ReLU):
    def forward(self, input):
        return super().forward(input) + 1


def with_own_forward(module):
    forward = type(module).forward
    module.forward = lambda input: forward(module, input) * 2
    return module


def with_an_empty_place():
    layers = nn.Sequential(nn.Conv2d(4, 4, 1, bias=False), nn.BatchNorm2d(4))
    layers._modules["1"] = None
    return layers


OTHER_LAYERS = {
    "convolution with bias": ("conv", lambda: nn.Conv2d(4, 4, 3, padding=1)),
    "convolution of another class": ("conv", lambda: OwnConv(4, 4, 3, padding=1, bias=False)),
    "convolution with a forward of its own": (
        "conv",
        lambda: with_own_forward(nn.Conv2d(4, 4, 3, padding=1, bias=False)),
    ),
    "no convolution": ("conv", nn.Identity),
    "batch norm without affine parameters": ("bn", lambda: nn.BatchNorm2d(4, affine=False)),
    "batch norm without running statistics": ("bn", lambda: nn.BatchNorm2d(4, track_running_stats=False)),
    "batch norm in training": ("bn", lambda: nn.BatchNorm2d(4, momentum=0.0).train()),
    "no batch norm": ("bn", nn.Identity),
    "another activation": ("relu", nn.Tanh),
    "ReLU of another class": ("relu", OwnReLU),
    "one layer in the shortcut": ("downsample", lambda: nn.Sequential(nn.Conv2d(4, 4, 1))),
    "three layers in the shortcut": ("downsample", lambda: shortcut_layers().append(nn.ReLU())),
    "an empty place in the shortcut": ("downsample", with_an_empty_place),
    "shortcut of another class": ("downsample", lambda: OwnSequential(*shortcut_layers())),
    "shortcut with a forward of its own": ("downsample", lambda: with_own_forward(shortcut_layers())),
    "a shortcut that is one layer": ("downsample", nn.Tanh),
}


@pytest.mark.parametrize("name", OTHER_LAYERS)
def test_other_layers_are_called_themselves(name, x, calls):
    place, make = OTHER_LAYERS[name]
    block = drawn(Block())
    setattr(block, place, make())
    with gradcli.no_grad():
        out, expected = block(x), separately(block, x)
    np.testing.assert_array_equal(out.array, expected.array)
    assert len(calls) == (1 if place == "downsample" else 0)


@pytest.mark.parametrize("place", ["conv", "bn", "relu", "downsample", "downsample.0", "downsample.1"])
def test_hooks_see_and_replace_what_the_modules_give(place, x):
    block = drawn(Block(shortcut_layers()))
    module = block.get_submodule(place)
    seen = []
    with gradcli.no_grad():
        plain = block(x)
        with module.register_forward_hook(lambda module, args, result: seen.append(result.array.copy())):
            looked_at = block(x)
        with module.register_forward_hook(lambda module, args, result: result * 2):
            replaced = block(x)
            expected = separately(block, x)
    assert len(seen) == 1
    np.testing.assert_array_equal(looked_at.array, plain.array)
    np.testing.assert_array_equal(replaced.array, expected.array)
    assert (replaced.array != plain.array).any()


@pytest.mark.parametrize("kind", [nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.Sequential])
def test_another_forward_for_all_layers_of_a_class_counts(kind, x, monkeypatch):
    block, forward, called = drawn(Block(shortcut_layers())), kind.forward, []
    monkeypatch.setattr(kind, "forward", lambda self, input: called.append(self) or forward(self, input))
    with gradcli.no_grad():
        block(x)
    assert set(map(id, called)) == {id(module) for module in block.modules() if type(module) is kind}


@pytest.mark.parametrize("trained", ["input", "conv.weight", "bn.bias", "downsample.1.weight"])
def test_a_graph_is_recorded_where_somebody_trains(trained, x, calls):
    block = drawn(Block(shortcut_layers())).requires_grad_(False)
    leaf = x if trained == "input" else dict(block.named_parameters())[trained]
    leaf.requires_grad_()
    block(x).sum().backward()
    found = leaf.grad.array.copy()
    leaf.grad = None
    separately(block, x).sum().backward()
    np.testing.assert_allclose(found, leaf.grad.array, rtol=1e-5, atol=1e-5)


def test_outside_of_a_network_that_puts_off_layers_are_called_themselves(x, calls):
    block = drawn(Block(shortcut_layers()))
    with gradcli.no_grad():
        out = conv_bn_relu(block.conv, block.bn, block.relu, x, conv_bn(block.downsample, x))
        np.testing.assert_array_equal(out.array, block(x).array)
    assert len(calls) == 2  # those of the block itself


def halved(module):
    module.bn.running_mean = Tensor(np.zeros(2, np.float32))


def in_double(module):
    module.bn.double()


def partly_in_double(module):
    module.conv.double()


def without_a_weight(module):
    module.conv.weight = None


def with_strange_stride(module):
    module.conv.stride = (1, 2, 3)


@pytest.mark.parametrize("change", [halved, in_double, partly_in_double, without_a_weight, with_strange_stride])
def test_what_is_wrong_with_a_layer_is_said_in_the_layers_words(change, x):
    block = drawn(Block())
    change(block)
    with gradcli.no_grad():
        with pytest.raises(Exception) as separate:
            separately(block, x)
        with pytest.raises(type(separate.value)) as together:
            block(x)
    assert str(together.value) == str(separate.value)


@pytest.mark.parametrize("shape", [(2, 3, 6, 6), (4, 6, 6), (2, 4, 6), (2, 4, 0, 6)])
def test_bad_inputs_are_refused_in_the_layers_words(shape):
    block, x = drawn(Block()), gradcli.zeros(*shape)
    with gradcli.no_grad():
        with pytest.raises((RuntimeError, ValueError)) as separate:
            separately(block, x)
        with pytest.raises(type(separate.value)) as together:
            block(x)
    assert str(together.value) == str(separate.value)


def test_an_empty_batch_stays_one(x):
    block = drawn(Block())
    with gradcli.no_grad():
        assert block(gradcli.zeros(0, 4, 6, 6)).shape == (0, 4, 6, 6)


@pytest.mark.parametrize(
    ("dtype", "numpy_dtype", "count", "tolerance"),
    [(gradcli.float16, np.float16, 0, 5e-3), (gradcli.float64, np.float64, 2, 0)],
)
def test_half_precision_is_left_to_the_layers_and_double_is_not(dtype, numpy_dtype, count, tolerance, x, calls):
    block = drawn(Block(shortcut_layers())).to(dtype)
    x = Tensor(x.array.astype(numpy_dtype))
    with gradcli.no_grad():
        out, expected = block(x), separately(block, x)
    assert out.dtype is dtype
    np.testing.assert_allclose(out.array, expected.array, rtol=tolerance, atol=tolerance)
    assert len(calls) == count


# --- with a pooling ---------------------------------------------------------------------------------------------------


class Stem(nn.Module):
    """What a residual network begins with."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 7, stride=2, padding=3, bias=False)
        self.bn = nn.BatchNorm2d(4)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)

    @puts_off
    def forward(self, x):
        return conv_bn_relu_pool(self.conv, self.bn, self.relu, self.maxpool, x)


def stem_separately(stem, x):
    return stem.maxpool(stem.relu(stem.bn(stem.conv(x))))


@pytest.fixture
def photo():
    return gradcli.randn(2, 3, 40, 36)


@pytest.fixture
def pooled_calls(monkeypatch):
    """How often layers were computed in one call along with their pooling."""
    counted = []
    one_call = inference.conv2d_batch_norm_max_pool2d
    monkeypatch.setattr(inference, "conv2d_batch_norm_max_pool2d", lambda *args: counted.append(1) or one_call(*args))
    return counted


@pytest.mark.parametrize(("kernels", "tolerance"), [("exact", 0), ("fast", 1e-5)])
@pytest.mark.parametrize(
    "maxpool",
    [nn.MaxPool2d(3, stride=2, padding=1), nn.MaxPool2d((3, 2)), nn.MaxPool2d(2, stride=[3, 1], ceil_mode=True)],
)
def test_a_stem_that_nobody_looks_into_is_one_call(maxpool, kernels, tolerance, photo, pooled_calls):
    stem = drawn(Stem())
    stem.maxpool = maxpool
    stem.bn.weight.array[1] *= -1
    with gradcli.no_grad(), using_kernels(kernels):
        out, expected = stem(photo), stem_separately(stem, photo)
    assert len(pooled_calls) == 1
    assert out.grad_fn is None
    np.testing.assert_allclose(out.array, expected.array, rtol=tolerance, atol=tolerance)


class OwnMaxPool(nn.MaxPool2d):
    def forward(self, input):
        return super().forward(input) * 2


OTHER_STEMS = {
    "a pooling of another class": ("maxpool", lambda: OwnMaxPool(3, stride=2)),
    "a pooling with a forward of its own": ("maxpool", lambda: with_own_forward(nn.MaxPool2d(3, stride=2))),
    "another pooling": ("maxpool", lambda: nn.AvgPool2d(3, stride=2)),
    "no pooling": ("maxpool", nn.Identity),
    "another activation": ("relu", nn.Tanh),
    "batch norm in training": ("bn", lambda: nn.BatchNorm2d(4, momentum=0.0).train()),
    "convolution with bias": ("conv", lambda: nn.Conv2d(3, 4, 7, stride=2)),
}


@pytest.mark.parametrize("name", OTHER_STEMS)
def test_other_layers_of_a_stem_are_called_themselves(name, photo, pooled_calls):
    place, make = OTHER_STEMS[name]
    stem = drawn(Stem())
    setattr(stem, place, make())
    with gradcli.no_grad():
        out, expected = stem(photo), stem_separately(stem, photo)
    np.testing.assert_array_equal(out.array, expected.array)
    assert not pooled_calls


def test_a_pooling_that_gives_indices_gives_them(photo, pooled_calls):
    stem = drawn(Stem())
    stem.maxpool.return_indices = True
    with gradcli.no_grad():
        for found, expected in zip(stem(photo), stem_separately(stem, photo), strict=True):
            np.testing.assert_array_equal(found.array, expected.array)
    assert not pooled_calls


@pytest.mark.parametrize("place", ["conv", "bn", "relu", "maxpool"])
def test_hooks_see_and_replace_what_a_stem_gives(place, photo, pooled_calls):
    stem = drawn(Stem())
    module, seen = stem.get_submodule(place), []
    double = module.register_forward_hook(lambda module, args, result: seen.append(result) or result * 2)
    with gradcli.no_grad(), double:
        replaced, expected = stem(photo), stem_separately(stem, photo)
    assert len(seen) == 2
    assert not pooled_calls
    np.testing.assert_array_equal(replaced.array, expected.array)


@pytest.mark.parametrize("trained", ["input", "conv.weight", "bn.bias"])
def test_a_graph_of_a_stem_is_recorded_where_somebody_trains(trained, photo, pooled_calls):
    stem = drawn(Stem()).requires_grad_(False)
    leaf = photo if trained == "input" else dict(stem.named_parameters())[trained]
    leaf.requires_grad_()
    stem(photo).sum().backward()
    assert leaf.grad is not None
    assert not pooled_calls


@pytest.mark.parametrize("kernels", ["exact", "fast"])
@pytest.mark.parametrize("shape", [(3, 40, 36), (2, 4, 40, 36), (2, 3, 1, 36), (2, 3, 0, 36)])
def test_bad_inputs_of_a_stem_are_refused_in_the_layers_words(shape, kernels):
    stem, x = drawn(Stem()), gradcli.zeros(*shape)
    with gradcli.no_grad(), using_kernels(kernels):
        expected = outcome(stem_separately, stem, x)
        assert outcome(Stem.__call__, stem, x) == expected


def outcome(function, *arguments):
    """The shape of what a function returns, or type and words of what it raises."""
    try:
        return tuple(function(*arguments).shape)
    except (RuntimeError, ValueError) as error:
        return type(error), str(error)
