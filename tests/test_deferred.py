"""Values that are computed when somebody looks: the same for everyone, whatever happens in between."""

from __future__ import annotations

import copy
import threading

import numpy as np
import pytest

import gradcli
from gradcli import nn
from gradcli.deferred import DeferredArray, puts_off, settle_deferred
from gradcli.kernels.policy import using_kernels
from gradcli.nn import functional as F


def block(seed=0):
    gradcli.manual_seed(seed)
    return nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), gradcli.randn(2, 3, 5, 5, requires_grad=True)


@puts_off
def within_a_forward(function, *arguments):
    """What `function` returns, called as within the forward of a network; a list, so that nothing is computed."""
    return [function(*arguments)]


def is_put_off(tensor):
    return isinstance(tensor._value, DeferredArray) and not tensor._value.is_computed


def test_batch_norm_addition_and_relu_wait_for_somebody_to_look():
    conv, norm, x = block()
    h = conv(x)
    ((normalized, total, out),) = within_a_forward(
        lambda: ((normalized := norm(h)), (total := normalized + h), F.relu(total))
    )
    assert all(is_put_off(tensor) for tensor in (normalized, total, out))
    assert out.shape == total.shape == (2, 4, 5, 5)
    assert out.dtype is gradcli.float32
    assert [t.grad_fn.name() for t in (out, total, normalized)] == [
        "ReluBackward0",
        "AddBackward0",
        "NativeBatchNormBackward0",
    ]
    assert all(is_put_off(tensor) for tensor in (normalized, total, out))
    np.testing.assert_array_equal(out.array, np.maximum(total.array, 0))
    np.testing.assert_allclose(total.array, normalized.array + h.array, rtol=1e-6, atol=1e-6)


@puts_off
def gradients(look, retain=False):
    """Gradients of a small residual block, with somebody looking at values in between, or not."""
    conv, norm, x = block()
    second = nn.BatchNorm2d(4)
    h = conv(x)
    steps = [h, norm(h)]
    steps.append(F.relu(steps[-1]))
    steps.append(second(steps[-1]))
    steps.append(steps[-1] + h)
    steps.append(F.relu(steps[-1]))
    steps.append(F.max_pool2d(steps[-1], 3, 2, 1))
    if look:
        for tensor in steps:
            str(tensor.detach())
    if retain:
        for tensor in steps:
            tensor.retain_grad()
    (steps[-1] * steps[-1]).sum().backward()
    leaves = [x, *conv.parameters(), *norm.parameters(), *second.parameters()]
    return [leaf.grad.array for leaf in leaves], [tensor.grad for tensor in steps]


@pytest.mark.parametrize("retain", [False, True])
def test_looking_changes_nothing(retain):
    plain, _ = gradients(look=False)
    looked, retained = gradients(look=True, retain=retain)
    for one, other in zip(plain, looked, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert all((gradient is not None) == retain for gradient in retained)


def test_retained_gradients_are_those_of_the_steps():
    conv, norm, x = block()
    h = conv(x)
    normalized = norm(h)
    out = F.relu(normalized)
    for tensor in (h, normalized, out):
        tensor.retain_grad()
    out.sum().backward()
    np.testing.assert_array_equal(out.grad.array, np.ones((2, 4, 5, 5)))
    np.testing.assert_array_equal(normalized.grad.array, (out.array > 0).astype(np.float32))
    assert normalized.grad.array is not out.grad.array
    np.testing.assert_allclose(h.grad.array.sum(axis=(0, 2, 3)), 0, atol=1e-4)  # the mean's share is taken out


def test_values_are_those_of_the_time_of_the_call():
    conv, norm, x = block()
    h = conv(x).detach()
    with gradcli.no_grad():
        expected = norm(h).array.copy()
        (put_off,) = within_a_forward(norm, h)
        norm.weight.array[...] *= 3
        norm.running_mean.array[...] = 7
        h.numpy()[...] = 100  # handing the array out computes what still waits for it
    np.testing.assert_array_equal(put_off.array, expected)


def test_gradients_of_leaves_are_arrays_of_their_own():
    a = gradcli.randn(2, 3, 4, 4, requires_grad=True)
    b = gradcli.randn(2, 3, 4, 4, requires_grad=True)
    norm = nn.BatchNorm2d(3)
    F.relu(norm(a) + b + a).sum().backward()
    F.relu(a + b).sum().backward()
    assert not np.may_share_memory(a.grad.array, b.grad.array)
    assert a.grad.array.flags.writeable
    a.grad.array[...] = 0
    assert b.grad.array.any()


def test_leaves_that_are_added_to_a_weight_share_no_gradient():
    first, second = (nn.Parameter(gradcli.randn(64, 32, 3, 3).array) for _ in range(2))
    with using_kernels("fast"):
        F.conv2d(gradcli.randn(1, 32, 2, 2), first + second, padding=1).sum().backward()
    assert not np.may_share_memory(first.grad.array, second.grad.array)
    np.testing.assert_array_equal(first.grad.array, second.grad.array)


def test_copies_and_pickles_have_values():
    conv, norm, x = block()
    with gradcli.no_grad():
        out = norm(conv(x))
        twin = copy.deepcopy(out)
    np.testing.assert_array_equal(twin.array, out.array)


def test_settling_computes_whatever_still_waits():
    conv, norm, x = block()
    (out,) = within_a_forward(norm, conv(x))
    assert is_put_off(out)
    settle_deferred()
    assert not is_put_off(out)


def test_a_weights_gradient_may_wait_as_its_factors_until_the_update_forms_it():
    weight = nn.Parameter(gradcli.randn(64, 32, 3, 3).array.copy(order="C"))
    x = gradcli.randn(1, 32, 2, 2)

    def stepped(look):
        leaf = nn.Parameter(weight.array.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2))
        optimizer = gradcli.optim.SGD([leaf], lr=0.1, momentum=0.9)
        with using_kernels("fast"):
            for _ in range(2):
                F.conv2d(x, leaf, padding=1).sum().backward()
        assert isinstance(leaf.grad, gradcli.Tensor)
        if look:
            leaf.grad.numpy()
        optimizer.step()
        return leaf.array, leaf.grad.array

    for one, other in zip(stepped(look=False), stepped(look=True), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)


def test_exact_kernels_store_every_gradient_at_once():
    leaf = nn.Parameter(gradcli.randn(64, 32, 3, 3).array)
    F.conv2d(gradcli.randn(1, 32, 2, 2), leaf, padding=1).sum().backward()
    assert isinstance(leaf.grad.deferred_array(), np.ndarray)


def test_another_thread_leaves_alone_what_this_one_put_off():
    conv, norm, x = block()
    (out,) = within_a_forward(norm, conv(x))
    thread = threading.Thread(target=settle_deferred)
    thread.start()
    thread.join()
    assert is_put_off(out)


def test_outside_of_a_networks_forward_everything_is_computed_at_once():
    conv, norm, x = block()
    h = conv(x)
    assert not any(is_put_off(tensor) for tensor in (h, norm(h), F.relu(norm(h) + h)))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("recorded", [True, False])
def test_a_convolution_that_waits_for_its_batch_norm_gives_the_same(training, recorded):
    conv, norm, x = block()
    conv.bias = None
    norm.train(training)
    shortcut = nn.Conv2d(3, 4, 1, bias=False)
    other = nn.BatchNorm2d(4).train(training)

    def forward():
        return F.relu(norm(conv(x)) + other(shortcut(x)))

    results, statistics = [], []
    for call in (forward, puts_off(forward)):
        norm.reset_running_stats()
        for parameter in (conv.weight, shortcut.weight, norm.weight, x):
            parameter.grad = None
        with gradcli.set_grad_enabled(recorded):
            out = call()
        assert not is_put_off(out)
        results.append([out.detach().array])
        if recorded:
            out.sum().backward()
            results[-1] += [leaf.grad.array for leaf in (conv.weight, shortcut.weight, norm.weight, x)]
        statistics.append([norm.running_mean.array.copy(), norm.running_var.array.copy()])
    for one, fused in zip(*results, strict=True):
        np.testing.assert_allclose(fused, one, rtol=1e-4, atol=1e-5)
    for one, fused in zip(*statistics, strict=True):
        np.testing.assert_allclose(fused, one, rtol=1e-6)


def test_a_hook_sees_what_a_convolution_gave_whatever_became_of_it():
    conv, norm, x = block()
    conv.bias = None
    seen = []
    conv.register_forward_hook(lambda module, arguments, result: seen.append(result.detach()))
    norm.eval()
    with gradcli.no_grad():
        puts_off(lambda: norm(conv(x)))()
        expected = F.conv2d(x, conv.weight, None, padding=1)
        conv.weight.array[...] = 0
    np.testing.assert_array_equal(seen[0].array, expected.array)


def test_what_a_hook_kept_before_an_exception_is_that_of_the_call():
    conv, _, x = block()
    conv.bias = None
    seen = []

    def leave(module, arguments, result):
        seen.append(result)
        raise StopIteration

    expected = conv(x).array.copy()
    conv.register_forward_hook(leave)
    with pytest.raises(StopIteration):
        puts_off(conv)(x)
    conv.weight.array[...] = 0
    np.testing.assert_array_equal(seen[0].array, expected)


class Convolved(nn.Module):
    """A user's layer that uses the memory of its input again, as soon as it has what it wants."""

    def __init__(self, weight):
        super().__init__()
        self.weight, self.seen = weight, None

    def forward(self, x):
        buffer = np.ones((1, 1, 4, 4), np.float32)
        self.seen = F.conv2d(gradcli.from_numpy(buffer), self.weight)
        buffer[...] = 0
        return x


def test_a_users_layer_in_a_network_may_use_its_arrays_again():
    layer, conv = Convolved(gradcli.ones(1, 1, 2, 2)), nn.Conv2d(3, 4, 3, bias=False)
    puts_off(lambda x: layer(conv(x)))(block()[2])
    np.testing.assert_array_equal(layer.seen.array, np.full((1, 1, 3, 3), 4))


def test_a_hook_in_a_network_may_use_its_arrays_again():
    layer, conv = Convolved(gradcli.ones(1, 1, 2, 2)), nn.Conv2d(3, 4, 3, bias=False)
    conv.register_forward_hook(lambda module, arguments, result: layer.forward(result))
    puts_off(conv)(block()[2])
    np.testing.assert_array_equal(layer.seen.array, np.full((1, 1, 3, 3), 4))


def test_what_is_added_to_a_networks_value_after_its_forward_may_change():
    conv, norm, x = block()
    buffer = np.ones((2, 5, 5, 4), np.float32).transpose(0, 3, 1, 2)  # (N, H, W, C) -> (N, C, H, W)
    with gradcli.no_grad():
        (put_off,) = within_a_forward(norm, conv(x))
        assert is_put_off(put_off)
        total = put_off + gradcli.from_numpy(buffer)
        buffer[...] = 0
    np.testing.assert_array_equal(total.array, put_off.array + 1)


def test_looking_warns_of_nothing():
    weight, x = nn.Parameter(np.ones((64, 32, 3, 3), np.float32)), gradcli.full((1, 32, 2, 2), 1e30)
    with using_kernels("fast"):
        out = F.conv2d(x, weight, padding=1)
        out.backward(gradcli.full(out.shape, 1e30))
    assert is_put_off(weight.grad)
    with np.errstate(all="raise"):
        assert np.isinf(weight.grad.array).all()


def test_threads_that_look_at_the_same_time_see_the_same_array():
    weight = nn.Parameter(gradcli.randn(64, 32, 3, 3).array)
    with using_kernels("fast"):
        F.conv2d(gradcli.randn(1, 32, 2, 2), weight, padding=1).sum().backward()
    deferred, seen = weight.grad.deferred_array(), []
    compute, begun = deferred._compute, threading.Event()

    def compute_slowly():
        begun.set()
        other.join(0.1)  # has to wait, so this times out
        return compute()

    deferred._compute = compute_slowly
    first = threading.Thread(target=lambda: seen.append(deferred.array()))
    other = threading.Thread(target=lambda: (begun.wait(), seen.append(deferred.array())))
    other.start()
    first.start()
    first.join()
    other.join()
    assert seen[0] is seen[1]


@pytest.mark.parametrize("made_by", [nn.BatchNorm2d(32), F.relu, lambda v: v + v, lambda v: v])
def test_a_weights_gradient_as_factors_may_go_on_to_whatever_made_the_weight(made_by):
    gradcli.manual_seed(0)
    values, x = gradcli.randn(64, 32, 3, 3).array, gradcli.randn(1, 32, 2, 2)
    gradients = []
    for kernels in ("exact", "fast"):
        leaf = gradcli.tensor(values, requires_grad=True)
        with using_kernels(kernels):
            (F.conv2d(x, made_by(leaf), padding=1) ** 2).sum().backward()
        gradients.append(leaf.grad.array)
    np.testing.assert_allclose(gradients[1], gradients[0], rtol=1e-3, atol=1e-3)
