"""NumPy's warnings are off while gradcli computes, and as they were before and after, and for a user's hooks."""

from __future__ import annotations

import numpy as np
import pytest

import gradcli
from gradcli import nn
from gradcli.deferred import puts_off
from gradcli.floating_point import aloud, network_quietly, quietly
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


def test_any_name_of_a_keyword_reaches_the_function():
    assert quietly(lambda function: function, function=1) == 1
