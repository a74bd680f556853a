"""While gradcli computes NumPy doesn't warn and has short buffers; before, after and for hooks all is the user's."""

from __future__ import annotations

import numpy as np
import pytest

import gradcli
from gradcli import nn
from gradcli.deferred import puts_off
from gradcli.numpy_settings import BUFFER_ELEMENTS, aloud, compute, network_quietly, quietly, short_buffers
from gradcli.ops.exponential import exp


def overflow():
    return np.exp(np.float32(1000))


@pytest.mark.parametrize("call", [quietly, network_quietly])
def test_overflow_gives_inf_without_a_word(call):
    with np.errstate(all="raise"):
        assert np.isinf(call(overflow))
        assert np.isinf(call(call, overflow))
        with pytest.raises(FloatingPointError):
            overflow()


@pytest.mark.parametrize("call", [quietly, network_quietly])
def test_settings_are_as_before_after_an_exception_too(call):
    def fail():
        raise KeyboardInterrupt

    with np.errstate(over="raise", under="warn"):
        before = np.geterr()
        with pytest.raises(KeyboardInterrupt):
            call(fail)
        assert np.geterr() == before
        assert np.isinf(call(overflow))
        assert np.geterr() == before


def test_a_users_code_within_has_the_users_settings():
    def inner():
        with pytest.raises(FloatingPointError):
            aloud(overflow)
        assert np.isinf(overflow())
        return aloud(quietly, overflow)

    with np.errstate(all="raise"):
        assert np.isinf(network_quietly(inner))
        with pytest.raises(FloatingPointError):
            aloud(overflow)


class Net(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    @puts_off
    def forward(self, x):
        return exp(self.layer(exp(x)))


def test_a_hook_in_a_networks_forward_has_the_users_settings():
    net, settings = Net(nn.ReLU()), []

    def hook(module, arguments, result):
        settings.append(np.geterr())
        return exp(result)  # an operation in a hook is as quiet as everywhere

    net.layer.register_forward_hook(hook)
    with np.errstate(all="raise", under="print"):
        out = net(gradcli.tensor([1000.0, 0.0]))
        assert settings == [np.geterr()]
    assert np.isinf(out.array).any()


def test_a_users_layer_in_a_networks_forward_has_the_users_settings():
    class Layer(nn.Module):
        def forward(self, x):
            settings.append(np.geterr())
            return exp(x)

    settings = []
    with np.errstate(all="raise", under="print"):
        Net(Layer())(gradcli.tensor([1000.0]))
        assert settings == [np.geterr()]


def test_a_network_in_a_hook_leaves_the_settings_of_the_next_hook():
    net, other, settings = Net(nn.ReLU()), Net(nn.ReLU()), []

    def run_another(module, arguments, result):
        with np.errstate(all="raise"):
            other(gradcli.tensor([1000.0]))

    net.layer.register_forward_hook(run_another)
    net.layer.register_forward_hook(lambda module, arguments, result: settings.append(np.geterr()))
    with np.errstate(all="warn"):
        net(gradcli.tensor([1000.0]))
        assert settings == [np.geterr()]


@pytest.fixture
def own_buffers():
    before = np.setbufsize(4096)
    yield 4096
    np.setbufsize(before)


def computed(function, *args):
    return compute(function, args, {})


@pytest.mark.parametrize("call", [quietly, network_quietly, computed])
def test_buffers_are_short_within_and_the_users_own_afterwards(call, own_buffers):
    assert call(np.getbufsize) == call(call, np.getbufsize) == BUFFER_ELEMENTS
    with pytest.raises(ZeroDivisionError):
        call(lambda: 1 // 0)
    assert np.getbufsize() == own_buffers


def test_short_buffers_within_leave_them_short(own_buffers):
    def within():
        with short_buffers():
            sizes.append(np.getbufsize())
        sizes.append(np.getbufsize())

    sizes = []
    quietly(within)
    within()
    assert sizes == [BUFFER_ELEMENTS, BUFFER_ELEMENTS, BUFFER_ELEMENTS, own_buffers]


def test_a_users_code_within_has_the_users_buffers(own_buffers):
    sizes = []

    def hook(module, arguments, result):
        sizes.append(np.getbufsize())
        sizes.append(quietly(np.getbufsize))

    net = Net(nn.ReLU())
    net.layer.register_forward_hook(hook)
    net.register_forward_hook(hook)
    net(gradcli.tensor([1.0]))
    assert sizes == [own_buffers, BUFFER_ELEMENTS] * 2


def test_any_name_of_a_keyword_reaches_the_function():
    assert quietly(lambda function: function, function=1) == 1
